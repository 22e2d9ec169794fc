package environment

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"egress.scw/bootstrap/config"
	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/network"
	"egress.scw/webhook/api/v1alpha1"
)

// bootstrap's configuration names the networks and the cluster that exist.
func TestConfigurationMatchesTheEnvironment(t *testing.T) {
	config, err := config.LoadEgress("egress.yaml", egressYAML)
	if err != nil {
		t.Fatal(err)
	}
	plan := network.DefaultPlan()
	for _, test := range []struct{ field, got, want string }{
		{"network.cidr", config.Network.CIDR, plan.PrivateNetwork.String()},
		{"proxy.privateIP", config.Proxy.PrivateIP, plan.ProxyPrivate.String()},
		{"proxy.nameServers", strings.Join(config.Proxy.NameServers, " "), plan.Resolver.String()},
		{"cluster.podCIDR", config.Cluster.PodCIDR, cluster.PodCIDR},
		{"cluster.serviceCIDR", config.Cluster.ServiceCIDR, cluster.ServiceCIDR},
	} {
		if test.got != test.want {
			t.Errorf("%s: %s; the environment has %s", test.field, test.got, test.want)
		}
	}
	if !slices.ContainsFunc(config.Tenants, func(tenant v1alpha1.Tenant) bool { return tenant.Name == DemoTenant }) {
		t.Errorf("egress.yaml does not contain the demo's tenant %s", DemoTenant)
	}
	if !plan.ProxyPublic.Contains(netip.MustParseAddr("203.0.113.51")) {
		t.Errorf("%s has no room for the addresses of tenants", plan.ProxyPublic)
	}
}
