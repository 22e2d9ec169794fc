package scwfake_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

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

// book books the address, or any if it is empty.
func (c *cloud) book(n *vpc.PrivateNetwork, address string) (*ipam.IP, error) {
	request := &ipam.BookIPRequest{Source: &ipam.Source{PrivateNetworkID: &n.ID}}
	if address != "" {
		request.Address = new(net.ParseIP(address))
	}
	return c.ipam.BookIP(request)
}

func (c *cloud) flexibleIP() string {
	return must(c.instance.CreateIP(&instance.CreateIPRequest{Type: instance.IPTypeRoutedIPv4}))(c.tb).IP.ID
}

func (c *cloud) assign(ip string, s *instance.Server) error {
	_, err := c.instance.UpdateIP(&instance.UpdateIPRequest{IP: ip, Server: &instance.NullableStringValue{Value: s.ID}})
	return err
}

// TestRefusals provokes all refusals of the fake. Clients decide by the SDK's type of
// the error; the plain ResponseError is followed by its status.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		run  func(c *cloud) error
		want string
	}{
		"VPC with networks": {want: "PreconditionFailedError", run: func(c *cloud) error {
			return c.vpc.DeleteVPC(&vpc.DeleteVPCRequest{VpcID: c.newNetwork().VpcID})
		}},
		"network with an address": {want: "PreconditionFailedError", run: func(c *cloud) error {
			n := c.newNetwork()
			must(c.book(n, ""))(c.tb)
			return c.deleteNetwork(n)
		}},
		"network with a gateway": {want: "PreconditionFailedError", run: func(c *cloud) error {
			n := c.newNetwork()
			c.attach(c.newGateway(), n)
			return c.deleteNetwork(n)
		}},
		"network with a NIC": {want: "PreconditionFailedError", run: func(c *cloud) error {
			n, s := c.newNetwork(), c.newServer("s")
			must(c.nic.CreatePrivateNetworkInterface(&instance2.CreatePrivateNetworkInterfaceRequest{
				PrivateNetworkID: n.ID, ServerID: &s.ID,
			}))(c.tb)
			return c.deleteNetwork(n)
		}},
		"network with a cluster": {want: "PreconditionFailedError", run: func(c *cloud) error {
			n := c.newNetwork()
			c.newCluster(n)
			return c.deleteNetwork(n)
		}},
		"reserved subnet": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, subnet, err := net.ParseCIDR("100.64.4.0/22")
			noError(c.tb, err)
			_, err = c.vpc.CreatePrivateNetwork(&vpc.CreatePrivateNetworkRequest{Name: "pn", Subnets: []scw.IPNet{{IPNet: *subnet}}})
			return err
		}},
		"gateway type": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.gateway.CreateGateway(&vpcgw.CreateGatewayRequest{Name: "gw", Type: "VPC-GW-XXL"})
			return err
		}},
		"gateway with a network": {want: "PreconditionFailedError", run: func(c *cloud) error {
			g := c.newGateway()
			c.attach(g, c.newNetwork())
			_, err := c.gateway.DeleteGateway(&vpcgw.DeleteGatewayRequest{GatewayID: g.ID})
			return err
		}},
		"second attachment at a time": {want: "TransientStateError", run: func(c *cloud) error {
			g := c.newGateway()
			request := &vpcgw.CreateGatewayNetworkRequest{GatewayID: g.ID, PrivateNetworkID: c.newNetwork().ID}
			must(c.gateway.CreateGatewayNetwork(request))(c.tb)
			_, err := c.gateway.CreateGatewayNetwork(request)
			return err
		}},
		"attachment to a gateway that is allocated": {want: "TransientStateError", run: func(c *cloud) error {
			g := must(c.gateway.CreateGateway(&vpcgw.CreateGatewayRequest{Name: "gw", Type: "VPC-GW-S"}))(c.tb)
			_, err := c.gateway.CreateGatewayNetwork(&vpcgw.CreateGatewayNetworkRequest{
				GatewayID: g.ID, PrivateNetworkID: c.newNetwork().ID,
			})
			return err
		}},
		"address of a gateway": {want: "PreconditionFailedError", run: func(c *cloud) error {
			return c.gateway.DeleteIP(&vpcgw.DeleteIPRequest{IPID: c.newGateway().IPv4.ID})
		}},
		"address of another gateway": {want: "PreconditionFailedError", run: func(c *cloud) error {
			_, err := c.gateway.CreateGateway(&vpcgw.CreateGatewayRequest{Name: "gw", Type: "VPC-GW-S", IPID: &c.newGateway().IPv4.ID})
			return err
		}},
		"address that is booked": {want: "ResponseError 409", run: func(c *cloud) error {
			n := c.newNetwork()
			must(c.book(n, "172.16.64.9"))(c.tb)
			_, err := c.book(n, "172.16.64.9")
			return err
		}},
		"second address of a network": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.book(c.newNetwork(), "172.16.64.1")
			return err
		}},
		"last address but one of a network": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.book(c.newNetwork(), "172.16.67.254")
			return err
		}},
		"address outside": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.book(c.newNetwork(), "172.16.68.1")
			return err
		}},
		"release of an address in use": {want: "PreconditionFailedError", run: func(c *cloud) error {
			return c.ipam.ReleaseIP(&ipam.ReleaseIPRequest{IPID: c.attach(c.newGateway(), c.newNetwork()).IpamIPID})
		}},
		"NIC with an address in use": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			n, s := c.newNetwork(), c.newServer("s")
			ip := must(c.book(n, ""))(c.tb)
			request := &instance2.CreatePrivateNetworkInterfaceRequest{PrivateNetworkID: n.ID, ServerID: &s.ID, IPIDs: []string{ip.ID}}
			must(c.nic.CreatePrivateNetworkInterface(request))(c.tb)
			_, err := c.nic.CreatePrivateNetworkInterface(request)
			return err
		}},
		"server type": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.instance.CreateServer(&instance.CreateServerRequest{
				Name: "s", CommercialType: "PLAY2-S", Image: new("516875a2-40bd-487a-bd5c-052b61f248a1"),
			})
			return err
		}},
		"PLAY2 without SBS": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.instance.CreateServer(&instance.CreateServerRequest{Name: "s", CommercialType: "PLAY2-PICO", Image: new("ubuntu_noble")})
			return err
		}},
		"deletion of a running server": {want: "ResponseError 400", run: func(c *cloud) error {
			s := c.newServer("s")
			c.start(s)
			return c.instance.DeleteServer(&instance.DeleteServerRequest{ServerID: s.ID})
		}},
		"termination of a stopped server": {want: "ResponseError 400", run: func(c *cloud) error {
			_, err := c.instance.ServerAction(&instance.ServerActionRequest{
				ServerID: c.newServer("s").ID, Action: instance.ServerActionTerminate,
			})
			return err
		}},
		"sixth address": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			s := c.newServer("s")
			for range 5 {
				noError(c.tb, c.assign(c.flexibleIP(), s))
			}
			return c.assign(c.flexibleIP(), s)
		}},
		"address of another server": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			ip := c.flexibleIP()
			noError(c.tb, c.assign(ip, c.newServer("a")))
			return c.assign(ip, c.newServer("b"))
		}},
		"volume in use": {want: "PreconditionFailedError", run: func(c *cloud) error {
			return c.block.DeleteVolume(&block.DeleteVolumeRequest{VolumeID: c.newServer("s").Volumes["0"].ID})
		}},
		"security group in use": {want: "ResponseError 409", run: func(c *cloud) error {
			return c.instance.DeleteSecurityGroup(&instance.DeleteSecurityGroupRequest{SecurityGroupID: c.newServer("s").SecurityGroup.ID})
		}},
		"security group of another zone": {want: "ResourceNotFoundError", run: func(c *cloud) error {
			g := must(c.instance.CreateSecurityGroup(&instance.CreateSecurityGroupRequest{Name: "sg", Zone: scw.ZoneFrPar2}))(c.tb)
			_, err := c.instance.GetSecurityGroup(&instance.GetSecurityGroupRequest{SecurityGroupID: g.SecurityGroup.ID})
			return err
		}},
		"cluster without a network": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.k8s.CreateCluster(&k8s.CreateClusterRequest{Name: "k", Version: offeredVersion, Cni: k8s.CNICilium})
			return err
		}},
		"version that is deprecated": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.k8s.CreateCluster(&k8s.CreateClusterRequest{
				Name: "k", Version: deprecatedVersion, Cni: k8s.CNICilium, PrivateNetworkID: &c.newNetwork().ID,
			})
			return err
		}},
		"rule of an access list for nothing": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.k8s.SetClusterACLRules(&k8s.SetClusterACLRulesRequest{ClusterID: c.newCluster(c.newNetwork()).ID, ACLs: []*k8s.ACLRuleRequest{{}}})
			return err
		}},
		"change of a cluster that is updating": {want: "TransientStateError", run: func(c *cloud) error {
			k := c.newCluster(c.newNetwork())
			must(c.k8s.UpdateCluster(&k8s.UpdateClusterRequest{ClusterID: k.ID, Name: new("other")}))(c.tb)
			_, err := c.k8s.SetClusterACLRules(&k8s.SetClusterACLRulesRequest{ClusterID: k.ID, ACLs: []*k8s.ACLRuleRequest{{ScalewayRanges: new(true)}}})
			return err
		}},
		"size of a pool above its maximum": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.k8s.UpdatePool(&k8s.UpdatePoolRequest{PoolID: c.newPool(c.newCluster(c.newNetwork())).ID, Size: new(uint32(2))})
			return err
		}},
		"deletion of a NIC in use": {want: "PreconditionFailedError", run: func(c *cloud) error {
			s := c.newServer("s")
			card := must(c.nic.CreatePrivateNetworkInterface(&instance2.CreatePrivateNetworkInterfaceRequest{
				PrivateNetworkID: c.newNetwork().ID, ServerID: &s.ID,
			}))(c.tb)
			return c.nic.DeletePrivateNetworkInterface(&instance2.DeletePrivateNetworkInterfaceRequest{PrivateNetworkInterfaceID: card.ID})
		}},
		"gateway in a zone without gateways": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.gateway.CreateGateway(&vpcgw.CreateGatewayRequest{Zone: scw.ZoneFrPar3, Name: "gw", Type: "VPC-GW-S"})
			return err
		}},
		"namespace in a region without registries": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.registry.CreateNamespace(&registry.CreateNamespaceRequest{Region: scw.RegionItMil, Name: "mine"})
			return err
		}},
		"kubeconfig too early": {want: "TransientStateError", run: func(c *cloud) error {
			k := must(c.k8s.CreateCluster(&k8s.CreateClusterRequest{
				Name: "k", Version: offeredVersion, Cni: k8s.CNICilium, PrivateNetworkID: &c.newNetwork().ID,
			}))(c.tb)
			_, err := c.k8s.GetClusterKubeConfig(&k8s.GetClusterKubeConfigRequest{ClusterID: k.ID})
			return err
		}},
		"namespace twice": {want: "ResponseError 409", run: func(c *cloud) error {
			must(c.registry.CreateNamespace(&registry.CreateNamespaceRequest{Name: "mine"}))(c.tb)
			_, err := c.registry.CreateNamespace(&registry.CreateNamespaceRequest{Name: "mine"})
			return err
		}},
		"namespace of others": {want: "ResponseError 409", run: func(c *cloud) error {
			_, err := c.registry.CreateNamespace(&registry.CreateNamespaceRequest{Name: "theirs"})
			return err
		}},
		"namespace that is not there": {want: "ResponseError 404", run: func(c *cloud) error {
			_, err := c.registry.GetNamespace(&registry.GetNamespaceRequest{NamespaceID: "x"})
			return err
		}},
		"zone": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			_, err := c.instance.ListServers(&instance.ListServersRequest{Zone: "xx-xxx-1"})
			return err
		}},
		"path": {want: "ResponseError 404", run: func(c *cloud) error {
			return c.client.Do(&scw.ScalewayRequest{Method: "GET", Path: "/lb/v1/zones/fr-par-1/lbs"}, nil)
		}},
		"method": {want: "ResponseError 405", run: func(c *cloud) error {
			return c.client.Do(&scw.ScalewayRequest{Method: "DELETE", Path: "/vpc/v2/regions/fr-par/vpcs"}, nil)
		}},
		"body": {want: "InvalidArgumentsError", run: func(c *cloud) error {
			r := &scw.ScalewayRequest{Method: "POST", Path: "/vpc/v2/regions/fr-par/vpcs"}
			noError(c.tb, r.SetBody(strings.NewReader("{")))
			return c.client.Do(r, nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := test.run(newCloud(t, scwfake.Options{ForeignNamespaces: []string{"theirs"}}))
			if got := errorType(err); got != test.want {
				t.Errorf("got %s (%v), want %s", got, err, test.want)
			}
		})
	}
}

func (c *cloud) deleteNetwork(n *vpc.PrivateNetwork) error {
	return c.vpc.DeletePrivateNetwork(&vpc.DeletePrivateNetworkRequest{PrivateNetworkID: n.ID})
}

// errorType returns the SDK's type, with the status if there is one.
func errorType(err error) string {
	// The SDK wraps some of its errors in an error of its own.
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", err), "*scw.")
	if response, ok := errors.AsType[*scw.ResponseError](err); ok {
		return fmt.Sprintf("%s %d", name, response.StatusCode)
	}
	return name
}

// TestRetriesSucceed tests that a client that only retries succeeds in the end: a
// refusal counts as a read of the resource that caused it.
func TestRetriesSucceed(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	n, g := c.newNetwork(), must(c.gateway.CreateGateway(&vpcgw.CreateGatewayRequest{Name: "gw", Type: "VPC-GW-S"}))(t)
	retry := func(what string, try func() error) {
		t.Helper()
		for range 5 {
			if try() == nil {
				return
			}
		}
		t.Fatalf("%s: refused five times: %v", what, try())
	}
	var attached *vpcgw.GatewayNetwork
	retry("attach", func() (err error) {
		attached, err = c.gateway.CreateGatewayNetwork(&vpcgw.CreateGatewayNetworkRequest{GatewayID: g.ID, PrivateNetworkID: n.ID})
		return err
	})
	must(c.gateway.DeleteGatewayNetwork(&vpcgw.DeleteGatewayNetworkRequest{GatewayNetworkID: attached.ID}))(t)
	retry("delete network", func() error { return c.deleteNetwork(n) })
	must(c.gateway.DeleteGateway(&vpcgw.DeleteGatewayRequest{GatewayID: g.ID}))(t)
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	const other = "88888888-8888-4888-8888-888888888888"
	for name, test := range map[string]struct {
		accepted, want string
	}{
		"any":   {"", "<nil>"},
		"right": {testToken, "<nil>"},
		"wrong": {other, "DeniedAuthenticationError"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, scwfake.Options{Token: test.accepted})
			_, err := c.vpc.ListVPCs(&vpc.ListVPCsRequest{})
			if got := errorType(err); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	c := newCloud(t, scwfake.Options{})
	client := must(scw.NewClient(scw.WithAPIURL(c.url), scw.WithoutAuth()))(t)
	_, err := vpc.NewAPI(client).ListVPCs(&vpc.ListVPCsRequest{Region: region})
	if got := errorType(err); got != "DeniedAuthenticationError" {
		t.Errorf("without a token: %s", got)
	}
}
