package scwfake_test

import (
	"bytes"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/block/v1"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	instance2 "github.com/scaleway/scaleway-sdk-go/api/instance/v2alpha1"
	"github.com/scaleway/scaleway-sdk-go/api/ipam/v1"
	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/api/registry/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
)

const (
	testToken = "99999999-9999-4999-8999-999999999999"
	zone      = scw.ZoneFrPar1
	region    = scw.RegionFrPar

	offeredVersion    = "1.34.1"
	deprecatedVersion = "1.33.4"
)

// cloud is a fake with clients of Scaleway's SDK. Requests that create a resource name
// it, because the SDK's random names are a data race between parallel tests.
type cloud struct {
	tb       testing.TB
	fake     *scwfake.API
	url      string
	client   *scw.Client
	vpc      *vpc.API
	gateway  *vpcgw.API
	ipam     *ipam.API
	instance *instance.API
	nic      *instance2.API
	block    *block.API
	k8s      *k8s.API
	registry *registry.API
}

func newCloud(tb testing.TB, options scwfake.Options) *cloud {
	tb.Helper()
	fake := scwfake.New(options)
	server := httptest.NewServer(fake)
	tb.Cleanup(func() {
		fake.Close()
		server.Close()
	})
	client := newClient(tb, server.URL)
	return &cloud{
		tb: tb, fake: fake, url: server.URL, client: client,
		vpc: vpc.NewAPI(client), gateway: vpcgw.NewAPI(client), ipam: ipam.NewAPI(client), instance: instance.NewAPI(client),
		nic: instance2.NewAPI(client), block: block.NewAPI(client), k8s: k8s.NewAPI(client), registry: registry.NewAPI(client),
	}
}

func newClient(tb testing.TB, url string) *scw.Client {
	tb.Helper()
	client, err := scw.NewClient(
		scw.WithAPIURL(url), scw.WithAuth("SCW00000000000000000", testToken), scw.WithDefaultProjectID(scwfake.DefaultProjectID),
		scw.WithDefaultZone(zone), scw.WithDefaultRegion(region),
	)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := client.GetAPIMetadata(); err != nil {
		tb.Fatal(err)
	}
	return client
}

// must is for calls that have to succeed.
func must[T any](result T, err error) func(testing.TB) T {
	return func(tb testing.TB) T {
		tb.Helper()
		if err != nil {
			tb.Fatalf("unexpected error: %v", err)
		}
		return result
	}
}

func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("unexpected error: %v", err)
	}
}

// interval is the polling interval of the SDK's waiters.
func interval() *time.Duration { return new(time.Millisecond) }

func (c *cloud) newNetwork() *vpc.PrivateNetwork {
	c.tb.Helper()
	v := must(c.vpc.CreateVPC(&vpc.CreateVPCRequest{Name: "v"}))(c.tb)
	_, subnet, err := net.ParseCIDR("172.16.64.0/22")
	noError(c.tb, err)
	return must(c.vpc.CreatePrivateNetwork(&vpc.CreatePrivateNetworkRequest{
		Name: "pn", VpcID: &v.ID, Subnets: []scw.IPNet{{IPNet: *subnet}},
	}))(c.tb)
}

func (c *cloud) newServer(name string, tags ...string) *instance.Server {
	c.tb.Helper()
	return must(c.instance.CreateServer(&instance.CreateServerRequest{
		Name: name, CommercialType: "PLAY2-PICO", Image: new("ubuntu_noble"), Tags: tags, DynamicIPRequired: new(false),
		Volumes: map[string]*instance.VolumeServerTemplate{
			"0": {VolumeType: instance.VolumeVolumeTypeSbsVolume, Size: new(20 * scw.GB), Boot: new(true)},
		},
	}))(c.tb).Server
}

func (c *cloud) act(s *instance.Server, action instance.ServerAction) {
	c.tb.Helper()
	must(c.instance.ServerAction(&instance.ServerActionRequest{ServerID: s.ID, Action: action}))(c.tb)
}

func (c *cloud) start(s *instance.Server) {
	c.tb.Helper()
	c.act(s, instance.ServerActionPoweron)
	must(c.instance.WaitForServer(&instance.WaitForServerRequest{ServerID: s.ID, Zone: zone, RetryInterval: interval()}))(c.tb)
}

func (c *cloud) newGateway() *vpcgw.Gateway {
	c.tb.Helper()
	g := must(c.gateway.CreateGateway(&vpcgw.CreateGatewayRequest{Name: "gw", Type: "VPC-GW-S"}))(c.tb)
	return must(c.gateway.WaitForGateway(&vpcgw.WaitForGatewayRequest{GatewayID: g.ID, Zone: zone, RetryInterval: interval()}))(c.tb)
}

// attach returns when the gateway is attached to the network. The SDK's waiter takes
// the status "created" for a final one.
func (c *cloud) attach(g *vpcgw.Gateway, n *vpc.PrivateNetwork) *vpcgw.GatewayNetwork {
	c.tb.Helper()
	attached := must(c.gateway.CreateGatewayNetwork(&vpcgw.CreateGatewayNetworkRequest{
		GatewayID: g.ID, PrivateNetworkID: n.ID, EnableMasquerade: true, PushDefaultRoute: true,
	}))(c.tb)
	for range 10 {
		attached = must(c.gateway.GetGatewayNetwork(&vpcgw.GetGatewayNetworkRequest{GatewayNetworkID: attached.ID}))(c.tb)
		if attached.Status == vpcgw.GatewayNetworkStatusReady {
			return attached
		}
	}
	c.tb.Fatalf("the gateway network is still %s", attached.Status)
	return nil
}

func (c *cloud) newCluster(n *vpc.PrivateNetwork) *k8s.Cluster {
	c.tb.Helper()
	cluster := must(c.k8s.CreateCluster(&k8s.CreateClusterRequest{
		Name: "cluster", Tags: []string{"t"}, Version: offeredVersion, Cni: k8s.CNICilium, PrivateNetworkID: &n.ID,
	}))(c.tb)
	return must(c.k8s.WaitForCluster(&k8s.WaitForClusterRequest{
		ClusterID: cluster.ID, Region: region, RetryInterval: interval(),
	}))(c.tb)
}

func (c *cloud) newPool(cluster *k8s.Cluster) *k8s.Pool {
	c.tb.Helper()
	return must(c.k8s.CreatePool(&k8s.CreatePoolRequest{
		ClusterID: cluster.ID, Name: "pool", NodeType: "PRO2-XXS", Size: 1, Zone: zone, PublicIPDisabled: true,
		Autohealing: true, ContainerRuntime: k8s.RuntimeContainerd,
	}))(c.tb)
}

func (c *cloud) setUserData(s *instance.Server, key, value string) {
	c.tb.Helper()
	noError(c.tb, c.instance.SetServerUserData(&instance.SetServerUserDataRequest{
		ServerID: s.ID, Zone: zone, Key: key, Content: bytes.NewReader([]byte(value)),
	}))
}

func volumeOf(s *instance.Server) *block.GetVolumeRequest {
	return &block.GetVolumeRequest{VolumeID: s.Volumes["0"].ID}
}
