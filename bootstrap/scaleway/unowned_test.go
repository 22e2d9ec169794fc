package scaleway

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	nic "github.com/scaleway/scaleway-sdk-go/api/instance/v2alpha1"
	"github.com/scaleway/scaleway-sdk-go/api/ipam/v1"
	"github.com/scaleway/scaleway-sdk-go/api/registry/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// neighbour creates resources of another owner in the project: one of each kind, with
// the names that bootstrap would choose, without its tags.
type neighbour struct {
	t     testing.TB
	cloud *Cloud
}

// must unwraps the results of calls that succeed with a fake without faults.
func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func (n neighbour) network(cidr string) *vpc.PrivateNetwork {
	n.t.Helper()
	_, subnet, err := net.ParseCIDR(cidr)
	if err != nil {
		n.t.Fatal(err)
	}
	c := n.cloud
	v := must[*vpc.VPC](n.t)(c.vpc.CreateVPC(&vpc.CreateVPCRequest{Region: c.region, ProjectID: c.project, Name: "egress-test"}))
	return must[*vpc.PrivateNetwork](n.t)(c.vpc.CreatePrivateNetwork(&vpc.CreatePrivateNetworkRequest{
		Region: c.region, ProjectID: c.project, Name: "egress-test", VpcID: &v.ID, Subnets: []scw.IPNet{{IPNet: *subnet}},
	}))
}

// server creates a running Instance with an address of the network.
func (n neighbour) server(network *vpc.PrivateNetwork, address string) {
	n.t.Helper()
	c := n.cloud
	image, err := c.image(n.t.Context(), c.zone, "debian_bookworm", "PLAY2-NANO")
	if err != nil {
		n.t.Fatal(err)
	}
	s := must[*instance.CreateServerResponse](n.t)(c.instance.CreateServer(&instance.CreateServerRequest{
		Zone: c.zone, Project: &c.project, Name: "egress-test-proxy", CommercialType: "PLAY2-NANO", Image: &image,
		DynamicIPRequired: new(false),
		Volumes:           map[string]*instance.VolumeServerTemplate{"0": {VolumeType: instance.VolumeVolumeTypeSbsVolume, Size: size(20)}},
	})).Server
	booked := n.book(network, address)
	_ = must[*nic.PrivateNetworkInterface](n.t)(c.nic.CreatePrivateNetworkInterface(&nic.CreatePrivateNetworkInterfaceRequest{
		Zone: c.zone, ProjectID: c.project, ServerID: &s.ID, PrivateNetworkID: network.ID, IPIDs: []string{booked.ID},
	}))
	if err := c.powerOn(n.t.Context(), &stack.Power{Server: &stack.Server{ResourceMeta: stack.ResourceMeta{ID: s.ID}, Zone: c.zone.String()}}, silent); err != nil {
		n.t.Fatal(err)
	}
}

func (n neighbour) book(network *vpc.PrivateNetwork, address string) *ipam.IP {
	n.t.Helper()
	c := n.cloud
	return must[*ipam.IP](n.t)(c.ipam.BookIP(&ipam.BookIPRequest{
		Region: c.region, ProjectID: c.project, Address: new(net.ParseIP(address)), Source: &ipam.Source{PrivateNetworkID: &network.ID},
	}))
}

// others creates the other resources.
func (n neighbour) others() {
	n.t.Helper()
	c := n.cloud
	_ = must[*vpcgw.Gateway](n.t)(c.gateway.CreateGateway(&vpcgw.CreateGatewayRequest{
		Zone: c.zone, ProjectID: c.project, Name: "egress-test", Type: "VPC-GW-S", Tags: []string{"egress-scw=tes", "egress-scw"},
	}))
	_ = must[*instance.CreateIPResponse](n.t)(c.instance.CreateIP(&instance.CreateIPRequest{
		Zone: c.zone, Project: &c.project, Tags: []string{"egress-scw-role=shared"},
	}))
	_ = must[*instance.CreateSecurityGroupResponse](n.t)(c.instance.CreateSecurityGroup(&instance.CreateSecurityGroupRequest{
		Zone: c.zone, Project: &c.project, Name: "egress-test-proxy",
		InboundDefaultPolicy: instance.SecurityGroupPolicyAccept, OutboundDefaultPolicy: instance.SecurityGroupPolicyAccept,
	}))
	_ = must[*registry.Namespace](n.t)(c.registry.CreateNamespace(&registry.CreateNamespaceRequest{
		Region: c.region, ProjectID: &c.project, Name: "somebody-elses",
	}))
}

// settle reads all resources until they do not change any more: in the fake, reads
// perform the transitions.
func settle(ctx context.Context, t *testing.T, f *fake, cloud *Cloud) []scwfake.Item {
	t.Helper()
	for {
		before := f.Inventory()
		if _, err := cloud.gateway.ListGateways(&vpcgw.ListGatewaysRequest{Zone: cloud.zone}, scw.WithContext(ctx)); err != nil {
			t.Fatal(err)
		}
		if cmp.Equal(before, f.Inventory()) {
			return before
		}
	}
}

// A stack in a network of another owner, beside the owner's resources, is applied,
// changed and destroyed. It leaves no trace.
func TestUnownedResourcesStay(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	cloud := f.cloud(t.Context(), t, newSpec(t))
	theirs := neighbour{t, cloud}
	network := theirs.network("172.16.28.0/22")
	theirs.server(network, "172.16.28.20")
	theirs.book(network, "172.16.28.21")
	theirs.others()
	before := settle(t.Context(), t, f, cloud)

	existing := []string{"{cidr: 172.16.28.0/22}", "{id: " + network.ID + "}"}
	spec := newSpec(t, existing...)
	if _, err := apply(t.Context(), cloud, spec); err != nil {
		t.Fatal(err)
	}
	requireNothingToDo(t, cloud, spec)
	changed := newSpec(t, append(existing, "egressIP: Dedicated", "egressIP: Shared", "size: 2", "size: 1", "192.0.2.0/24", "192.0.2.9/32")...)
	if _, err := apply(t.Context(), cloud, changed); err != nil {
		t.Fatal(err)
	}
	requireNothingToDo(t, cloud, changed)
	if err := destroy(t.Context(), cloud, changed); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, f.Inventory()); diff != "" {
		t.Errorf("the resources of the other owner: -before +after\n%s", diff)
	}
}

// Two stacks in one project do not affect each other, even if the name of one is the
// beginning of the other's.
func TestTwoStacks(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	first := newSpec(t)
	second := newSpec(t, "name: test}", "name: test-2}", "172.16.28.0/22", "172.16.32.0/22", "172.16.28.8", "172.16.32.8", "egress-test", "egress-test-2")
	cloud := f.cloud(t.Context(), t, first)
	other := f.cloud(t.Context(), t, second)
	if _, err := apply(t.Context(), cloud, first); err != nil {
		t.Fatal(err)
	}
	alone := f.Inventory()
	if _, err := apply(t.Context(), other, second); err != nil {
		t.Fatal(err)
	}
	requireNothingToDo(t, cloud, first)
	requireNothingToDo(t, other, second)
	if err := destroy(t.Context(), other, second); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(alone, f.Inventory()); diff != "" {
		t.Errorf("the other stack: -before +after\n%s", diff)
	}
}

// A machine of another owner in the stack's network prevents the network's deletion. The
// error names the machine.
func TestNetworkInUse(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	made, err := apply(t.Context(), cloud, spec)
	if err != nil {
		t.Fatal(err)
	}
	theirs := neighbour{t, cloud}
	theirs.server(&vpc.PrivateNetwork{ID: made.Graph.Network.ID}, "172.16.28.20")

	err = destroy(t.Context(), cloud, spec)
	if err == nil || !strings.Contains(err.Error(), "still used by instance_private_nic egress-test-proxy (172.16.28.20)") {
		t.Errorf("destroy: %v", err)
	}
	left := slices.DeleteFunc(scwfake.Summary(f.Inventory()), func(line string) bool { return strings.Contains(line, "[]") })
	want := []string{
		`private-network egress-test  ["egress-scw=test"] in fr-par`,
		`vpc egress-test  ["egress-scw=test"] in fr-par`,
	}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("the rest of the stack: -want +got\n%s", diff)
	}
}
