package environment

import (
	"fmt"
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
	egress, err := config.Load("egress.yaml", egressYAML)
	if err != nil {
		t.Fatal(err)
	}
	plan := network.DefaultPlan()
	for _, test := range []struct{ field, got, want string }{
		{"spec.network.cidr", egress.Spec.Network.CIDR.String(), plan.PrivateNetwork.String()},
		{"spec.proxy.privateIP", egress.Spec.Proxy.PrivateIP.String(), plan.ProxyPrivate.String()},
		{"spec.proxy.nameServers", strings.Trim(fmt.Sprint(egress.Spec.Proxy.NameServers), "[]"), plan.Resolver.String()},
		{"spec.cluster.podCIDR", egress.Spec.Cluster.PodCIDR.String(), cluster.PodCIDR},
		{"spec.cluster.serviceCIDR", egress.Spec.Cluster.ServiceCIDR.String(), cluster.ServiceCIDR},
	} {
		if test.got != test.want {
			t.Errorf("%s: %s; the environment has %s", test.field, test.got, test.want)
		}
	}
	if !slices.ContainsFunc(egress.Spec.Tenants, func(tenant v1alpha1.Tenant) bool { return tenant.Name == DemoTenant }) {
		t.Errorf("egress.yaml does not contain the demo's tenant %s", DemoTenant)
	}
	if !plan.ProxyPublic.Contains(netip.MustParseAddr("203.0.113.51")) {
		t.Errorf("%s has no room for the addresses of tenants", plan.ProxyPublic)
	}
}
