package inject

import (
	"fmt"
	"strings"
	"testing"

	"egress.scw/webhook/api/v1alpha1"
)

func TestNewClusterNamesEveryOptionThatIsWrong(t *testing.T) {
	_, err := NewCluster(ClusterOptions{
		ProxyAddress:  "proxy.example",
		ClusterDomain: "cluster_local",
		ClusterCIDRs:  []string{"10.32.0.0/20", "10.32.0.1", "0.0.0.0/0", "::ffff:0:0/96"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, path := range []string{"proxyAddress", "clusterDomain", "apiServerHost", "clusterCIDRs[1]", "clusterCIDRs[2]", "clusterCIDRs[3]"} {
		if !strings.Contains(err.Error(), path+": ") {
			t.Errorf("%s is not named in: %v", path, err)
		}
	}
	if strings.Contains(err.Error(), "clusterCIDRs[0]") {
		t.Errorf("the right CIDR is named in: %v", err)
	}
}

func TestNewCluster(t *testing.T) {
	tests := map[string]struct {
		change func(*ClusterOptions)
		want   string // in the error, or none
	}{
		"as Kapsule":          {func(*ClusterOptions) {}, ""},
		"no CIDRs":            {func(o *ClusterOptions) { o.ClusterCIDRs = nil }, ""},
		"API server by name":  {func(o *ClusterOptions) { o.APIServerHost = "api.example.com" }, ""},
		"zone":                {func(o *ClusterOptions) { o.ProxyAddress = "fe80::1%eth0" }, "proxyAddress"},
		"public domain":       {func(o *ClusterOptions) { o.ClusterDomain = "co.uk" }, "clusterDomain"},
		"domain is a CIDR":    {func(o *ClusterOptions) { o.ClusterDomain = "10.0.0.0/8" }, "clusterDomain"},
		"API server with URL": {func(o *ClusterOptions) { o.APIServerHost = "https://10.32.0.1" }, "apiServerHost"},
		"no room for tenants": {func(o *ClusterOptions) {
			for i := range 256 {
				o.ClusterCIDRs = append(o.ClusterCIDRs, fmt.Sprintf("192.168.%d.0/24", i))
			}
		}, "clusterCIDRs"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			options := exampleCluster()
			test.change(&options)
			_, err := NewCluster(options)
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want+": ")):
				t.Errorf("error is %v, want one that names %s", err, test.want)
			}
		})
	}
}

func TestProxyURL(t *testing.T) {
	tenant := &v1alpha1.EgressTenant{}
	tenant.Spec.Proxy.Port = 3130
	for address, want := range map[string]string{
		"172.16.28.8":        "http://172.16.28.8:3130",
		"::ffff:172.16.28.8": "http://172.16.28.8:3130",
		"2001:db8::8":        "http://[2001:db8::8]:3130",
	} {
		options := exampleCluster()
		options.ProxyAddress = address
		cluster, err := NewCluster(options)
		if err != nil {
			t.Fatal(err)
		}
		if got := cluster.ProxyURL(tenant); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
