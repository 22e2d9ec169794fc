package scwfake_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/api/ipam/v1"
	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/api/marketplace/v2"
	"github.com/scaleway/scaleway-sdk-go/api/registry/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
)

// names returns the names of the items of a list.
func names[T any](items []T, name func(T) string) []string {
	var all []string
	for _, item := range items {
		all = append(all, name(item))
	}
	return all
}

// TestFilters tests the filters of the lists, whose meaning depends on the API.
func TestFilters(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	for _, tags := range [][]string{{"a"}, {"a", "b"}, {"b"}, {"c"}} {
		name := fmt.Sprint("n-", tags)
		c.newServer(name, tags...)
		must(c.vpc.CreateVPC(&vpc.CreateVPCRequest{Name: name, Tags: tags}))(t)
	}
	for _, name := range []string{"n", "nn"} {
		must(c.registry.CreateNamespace(&registry.CreateNamespaceRequest{Name: name}))(t)
	}
	must(c.instance.CreateIP(&instance.CreateIPRequest{Zone: scw.ZoneFrPar2}))(t)
	must(c.vpc.CreateVPC(&vpc.CreateVPCRequest{Name: "n-other", ProjectID: testToken}))(t)

	serverName := func(s *instance.Server) string { return s.Name }
	vpcName := func(v *vpc.VPC) string { return v.Name }
	servers := func(r instance.ListServersRequest) []string {
		r.Project = new(scwfake.DefaultProjectID)
		return names(must(c.instance.ListServers(&r))(t).Servers, serverName)
	}
	vpcs := func(r vpc.ListVPCsRequest) []string {
		r.ProjectID = new(scwfake.DefaultProjectID)
		return names(must(c.vpc.ListVPCs(&r))(t).Vpcs, vpcName)
	}
	namespaces := must(c.registry.ListNamespaces(&registry.ListNamespacesRequest{Name: new("n")}))(t).Namespaces
	for name, test := range map[string]struct{ got, want []string }{
		"instance: all of the tags": {
			servers(instance.ListServersRequest{Tags: []string{"a", "b"}}),
			[]string{"n-[a b]"},
		},
		"vpc: any of the tags, oldest first": {
			vpcs(vpc.ListVPCsRequest{Tags: []string{"a", "b"}}),
			[]string{"n-[a]", "n-[a b]", "n-[b]"},
		},
		"instance: part of the name": {servers(instance.ListServersRequest{Name: new("[a")}), []string{"n-[a]", "n-[a b]"}},
		"vpc: part of the name":      {vpcs(vpc.ListVPCsRequest{Name: new("b]")}), []string{"n-[a b]", "n-[b]"}},
		"vpc: youngest first": {
			vpcs(vpc.ListVPCsRequest{OrderBy: vpc.ListVPCsRequestOrderByCreatedAtDesc}),
			[]string{"n-[c]", "n-[b]", "n-[a b]", "n-[a]"},
		},
		"registry: all of the name": {
			names(namespaces, func(n *registry.Namespace) string { return n.Name }), []string{"n"},
		},
		"instance: other zone": {servers(instance.ListServersRequest{Zone: scw.ZoneFrPar2}), nil},
		"vpc: other region":    {vpcs(vpc.ListVPCsRequest{Region: scw.RegionNlAms}), nil},
	} {
		if diff := cmp.Diff(test.want, test.got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if ips := must(c.instance.ListIPs(&instance.ListIPsRequest{}))(t).IPs; len(ips) != 0 {
		t.Errorf("the address of another zone is listed: %v", ips)
	}
}

// TestIPAMFilters filters the addresses of a network. The SDK requests the youngest
// first.
func TestIPAMFilters(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	n := c.newNetwork()
	attached := c.attach(c.newGateway(), n)
	booked := must(c.ipam.BookIP(&ipam.BookIPRequest{Source: &ipam.Source{PrivateNetworkID: &n.ID}, Tags: []string{"a", "b"}}))(t)
	must(c.ipam.BookIP(&ipam.BookIPRequest{Source: &ipam.Source{PrivateNetworkID: &n.ID}, IsIPv6: true, Tags: []string{"c"}}))(t)
	for name, test := range map[string]struct {
		request ipam.ListIPsRequest
		want    []string
	}{
		"all":      {ipam.ListIPsRequest{}, []string{"v6", "172.16.64.3/22", "172.16.64.2/22"}},
		"tags":     {ipam.ListIPsRequest{Tags: []string{"a", "c"}}, []string{"v6", "172.16.64.3/22"}},
		"attached": {ipam.ListIPsRequest{Attached: new(true)}, []string{"172.16.64.2/22"}},
		"free":     {ipam.ListIPsRequest{Attached: new(false)}, []string{"v6", "172.16.64.3/22"}},
		"IPv6":     {ipam.ListIPsRequest{IsIPv6: new(true)}, []string{"v6"}},
		"resource": {ipam.ListIPsRequest{ResourceID: &attached.ID}, []string{"172.16.64.2/22"}},
		"kind":     {ipam.ListIPsRequest{ResourceType: ipam.ResourceTypeInstancePrivateNic}, nil},
		"IDs":      {ipam.ListIPsRequest{IPIDs: []string{booked.ID}}, []string{"172.16.64.3/22"}},
		"network":  {ipam.ListIPsRequest{PrivateNetworkID: &attached.ID}, nil},
	} {
		got := names(must(c.ipam.ListIPs(&test.request))(t).IPs, func(ip *ipam.IP) string {
			if ip.IsIPv6 {
				return "v6"
			}
			return ip.Address.String()
		})
		if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestPages tests that the SDK finds all items of a list with several pages.
func TestPages(t *testing.T) {
	t.Parallel()
	const many = 120
	c := newCloud(t, scwfake.Options{})
	for range many {
		must(c.vpc.CreateVPC(&vpc.CreateVPCRequest{Name: "v"}))(t)
		must(c.instance.CreateSecurityGroup(&instance.CreateSecurityGroupRequest{Name: "sg"}))(t)
	}
	if got := must(c.vpc.ListVPCs(&vpc.ListVPCsRequest{}))(t); len(got.Vpcs) != 20 || got.TotalCount != many {
		t.Errorf("a page has %d of %d VPCs", len(got.Vpcs), got.TotalCount)
	}
	if got := must(c.vpc.ListVPCs(&vpc.ListVPCsRequest{}, scw.WithAllPages()))(t); len(got.Vpcs) != many {
		t.Errorf("all pages have %d VPCs", len(got.Vpcs))
	}
	first := must(c.instance.ListSecurityGroups(&instance.ListSecurityGroupsRequest{}))(t)
	if len(first.SecurityGroups) != 50 || first.TotalCount != many {
		t.Errorf("a page has %d of %d security groups", len(first.SecurityGroups), first.TotalCount)
	}
	all := must(c.instance.ListSecurityGroups(&instance.ListSecurityGroupsRequest{}, scw.WithAllPages()))(t)
	if len(all.SecurityGroups) != many {
		t.Errorf("all pages have %d security groups", len(all.SecurityGroups))
	}
}

// TestCatalogue compares the types of servers with those that fr-par-1 had on 24
// September 2026: their number, that of each family, and some of their properties.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	types := must(c.instance.ListServersTypes(&instance.ListServersTypesRequest{}, scw.WithAllPages()))(t).Servers
	available := must(c.instance.GetServerTypesAvailability(&instance.GetServerTypesAvailabilityRequest{}, scw.WithAllPages()))(t).Servers
	if len(types) != 124 || len(available) != 124 {
		t.Errorf("there are %d types, and the availability of %d", len(types), len(available))
	}
	want := map[string]int{
		"BASIC2": 12, "BASIC3": 12, "COMPUTE3": 11, "DEV1": 4, "GP1": 5, "L4": 4, "MEMORY3": 9, "PLAY2": 3, "POP2": 38, "PRO2": 5,
		"STANDARD2": 10, "STANDARD3": 10, "STARDUST1": 1,
	}
	families := map[string]int{}
	for name := range types {
		family, _, _ := strings.Cut(name, "-")
		families[family]++
	}
	if diff := cmp.Diff(want, families); diff != "" {
		t.Errorf("types of each family (-want +got):\n%s", diff)
	}
	for name, exists := range map[string]bool{
		"PLAY2-PICO": true, "PLAY2-NANO": true, "PLAY2-MICRO": true, "PLAY2-S": false, "DEV1-S": true, "PRO2-XXS": true,
		"BASIC2-A12C-48G": true, "STANDARD3-X6C-24G": true, "COMPUTE3-X96C-192G": true, "MEMORY3-X64C-512G": false,
		"POP2-HM-24C-192G": true, "POP2-HN-10": true, "POP2-16C-64G-WIN": true, "POP2-64C-256G-WIN": false, "COPARM1-2C-8G": false,
	} {
		if (types[name] != nil) != exists || (available[name] != nil) != exists {
			t.Errorf("%s: exists %v, availability %v", name, types[name] != nil, available[name] != nil)
		}
	}
	for name, want := range map[string]instance.ServerType{
		"BASIC2-A6C-12G":   {Arch: instance.ArchArm64, Ncpus: 6, RAM: 12 << 30, Gpu: scw.Uint64Ptr(0)},
		"MEMORY3-X12C-96G": {Arch: instance.ArchX86_64, Ncpus: 12, RAM: 96 << 30, Gpu: scw.Uint64Ptr(0)},
		"L4-2-24G":         {Arch: instance.ArchX86_64, Ncpus: 16, RAM: 96 << 30, Gpu: scw.Uint64Ptr(2)},
	} {
		if got := types[name]; got == nil || got.Arch != want.Arch || got.Ncpus != want.Ncpus || got.RAM != want.RAM || *got.Gpu != *want.Gpu {
			t.Errorf("%s is %+v", name, got)
		}
	}
	images := marketplace.NewAPI(c.client)
	for _, label := range []string{"ubuntu_focal", "ubuntu_jammy", "ubuntu_noble", "debian_bullseye", "debian_bookworm", "debian_trixie"} {
		for _, kind := range []string{"PLAY2-PICO", "STANDARD2-A2C-8G"} {
			must(images.GetLocalImageByLabel(&marketplace.GetLocalImageByLabelRequest{
				ImageLabel: label, Zone: zone, CommercialType: kind, Type: marketplace.LocalImageTypeInstanceSbs,
			}))(t)
		}
	}
	if i, err := images.GetLocalImageByLabel(&marketplace.GetLocalImageByLabelRequest{
		ImageLabel: "windows", Zone: zone, CommercialType: "DEV1-S",
	}); err == nil {
		t.Errorf("there is an image %v", i)
	}
}

// TestNormalisation tests the normal forms of values that requests contain.
func TestNormalisation(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	pool := c.newPool(c.newCluster(c.newNetwork()))
	if pool.NodeType != "pro2_xxs" {
		t.Errorf("node type %s", pool.NodeType)
	}
	pool = must(c.k8s.SetPoolTaints(&k8s.SetPoolTaintsRequest{PoolID: pool.ID, Taints: []*k8s.CoreV1Taint{
		{Key: "z", Effect: k8s.CoreV1TaintEffectNoSchedule}, {Key: "a", Effect: k8s.CoreV1TaintEffectNoExecute},
	}}))(t)
	if got := names(pool.Taints, func(taint *k8s.CoreV1Taint) string { return taint.Key }); !cmp.Equal(got, []string{"a", "z"}) {
		t.Errorf("taints %v", got)
	}
	pool = must(c.k8s.SetPoolLabels(&k8s.SetPoolLabelsRequest{PoolID: pool.ID, Labels: map[string]string{"a": "b"}}))(t)
	if !cmp.Equal(pool.Labels, map[string]string{"a": "b"}) || len(pool.Taints) != 2 {
		t.Errorf("labels %v, taints %v", pool.Labels, pool.Taints)
	}
}
