package squid

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// validProxy is a configuration that Render accepts.
func validProxy() Config {
	return Config{
		ListenAddress:  netip.MustParseAddr("172.16.28.8"),
		StatusPort:     3128,
		ClientNetworks: []netip.Prefix{netip.MustParsePrefix("172.16.28.0/22")},
		EgressAddress:  netip.MustParseAddr("203.0.113.50"),
		NameServers:    []netip.Addr{netip.MustParseAddr("192.0.2.53")},
		Certificate:    "/etc/squid/egress.pem",
		AuditLog:       "/var/log/squid/audit.log",
		AuditWriter:    "/usr/local/sbin/egress-audit",
		ErrorPages:     debianPages, // must exist when Squid parses the file
		CacheLog:       "/var/log/squid/cache.log",
		PIDFile:        "/run/squid.pid",
	}
}

func newTenant(name string, port int32) v1alpha1.Tenant {
	return v1alpha1.Tenant{Name: name, EgressTenantSpec: v1alpha1.EgressTenantSpec{Proxy: &v1alpha1.TenantProxy{Port: port}}}
}

// dedicate assigns dedicated addresses to tenants.
func dedicate(proxy *Config, tenants []v1alpha1.Tenant, addresses map[string]netip.Addr) {
	proxy.DedicatedAddresses = addresses
	for i := range tenants {
		if _, ok := addresses[tenants[i].Name]; ok {
			tenants[i].Proxy.EgressIP = v1alpha1.EgressIPDedicated
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	address := netip.MustParseAddr
	networks := func(list ...string) []netip.Prefix {
		var result []netip.Prefix
		for _, text := range list {
			result = append(result, netip.MustParsePrefix(text))
		}
		return result
	}
	dedicated := func(name string, port int32) v1alpha1.Tenant {
		tenant := newTenant(name, port)
		tenant.Proxy.EgressIP = v1alpha1.EgressIPDedicated
		return tenant
	}
	addresses := func(list ...string) func(*Config) { // name, address, name, address
		return func(p *Config) {
			p.DedicatedAddresses = map[string]netip.Addr{}
			for pair := range slices.Chunk(list, 2) {
				p.DedicatedAddresses[pair[0]] = address(pair[1])
			}
		}
	}
	cases := map[string]struct {
		change  func(*Config)
		tenants []v1alpha1.Tenant
		// want are substrings of the error, in order.
		want []string
	}{
		"everything missing, all told at once": {
			change: func(p *Config) { *p = Config{} },
			want: []string{
				"proxy.listenAddress: Required", "proxy.statusPort: Invalid", "proxy.clientNetworks: Required", "proxy.egressAddress: Required",
				"proxy.nameServers: Required", "proxy.auditLog: Required", "proxy.auditWriter: Required", "proxy.cacheLog: Required", "proxy.pidFile: Required",
			},
		},
		"both proxy and tenants": {
			change:  func(p *Config) { p.EgressAddress = netip.Addr{} },
			tenants: []v1alpha1.Tenant{newTenant("A", 3129), newTenant("b", 80)},
			want:    []string{"proxy.egressAddress", "tenants[0].name", "tenants[1].proxy.port"},
		},
		"listening everywhere":          {change: func(p *Config) { p.ListenAddress = address("0.0.0.0") }, want: []string{"proxy.listenAddress", "of one machine"}},
		"listening in public":           {change: func(p *Config) { p.ListenAddress = address("203.0.113.50") }, want: []string{"proxy.listenAddress", "open to the internet"}},
		"listening in public, IPv6":     {change: func(p *Config) { p.ListenAddress = address("2001:db8::1") }, want: []string{"proxy.listenAddress", "open to the internet"}},
		"listening with a zone":         {change: func(p *Config) { p.ListenAddress = address("fe80::1%eth0\nvia on") }, want: []string{"proxy.listenAddress", "zone"}},
		"listening on a group":          {change: func(p *Config) { p.ListenAddress = address("224.0.0.1") }, want: []string{"proxy.listenAddress", "of one machine"}},
		"listening on a mapped":         {change: func(p *Config) { p.ListenAddress = address("::ffff:10.0.0.1") }, want: []string{"proxy.listenAddress", "IPv4 address"}},
		"manager on a tenant's port":    {change: func(p *Config) { p.StatusPort = 3129 }, want: []string{"proxy.statusPort", "3129-3255"}},
		"clients from anywhere":         {change: func(p *Config) { p.ClientNetworks = networks("0.0.0.0/0") }, want: []string{"proxy.clientNetworks[0]", "private"}},
		"clients from all of IPv6":      {change: func(p *Config) { p.ClientNetworks = networks("::/0") }, want: []string{"proxy.clientNetworks[0]", "private"}},
		"clients from the internet":     {change: func(p *Config) { p.ClientNetworks = networks("10.0.0.0/8", "203.0.113.0/24") }, want: []string{"proxy.clientNetworks[1]", "private"}},
		"clients beyond what's private": {change: func(p *Config) { p.ClientNetworks = networks("172.0.0.0/8") }, want: []string{"proxy.clientNetworks[0]", "private"}},
		"clients with host bits":        {change: func(p *Config) { p.ClientNetworks = networks("10.0.0.1/8") }, want: []string{"proxy.clientNetworks[0]", "write 10.0.0.0/8"}},
		"clients told twice":            {change: func(p *Config) { p.ClientNetworks = networks("10.0.0.0/8", "10.1.0.0/16") }, want: []string{"proxy.clientNetworks[1]", "overlaps with 10.0.0.0/8"}},
		"clients mapped":                {change: func(p *Config) { p.ClientNetworks = networks("::ffff:10.0.0.0/104") }, want: []string{"proxy.clientNetworks[0]", "IPv4 network"}},
		"clients without a value":       {change: func(p *Config) { p.ClientNetworks = make([]netip.Prefix, 1) }, want: []string{"proxy.clientNetworks[0]", "must be a CIDR"}},
		"leaving by any address":        {change: func(p *Config) { p.EgressAddress = address("0.0.0.0") }, want: []string{"proxy.egressAddress", "of one machine"}},
		"asking a group for names":      {change: func(p *Config) { p.NameServers = []netip.Addr{address("224.0.0.251")} }, want: []string{"proxy.nameServers[0]", "of one machine"}},
		"asking over the other family":  {change: func(p *Config) { p.NameServers = append(p.NameServers, address("2001:db8::53")) }, want: []string{"proxy.nameServers[1]", "must have the address family of the egress address"}},
		"relative path":                 {change: func(p *Config) { p.AuditLog = "audit.log" }, want: []string{"proxy.auditLog", "absolute"}},
		"path through a parent":         {change: func(p *Config) { p.CacheLog = "/var/log/../cache.log" }, want: []string{"proxy.cacheLog", "shortest form"}},
		"path with a newline":           {change: func(p *Config) { p.AuditLog = "/a\nhttp_access allow all" }, want: []string{"proxy.auditLog", "must consist of"}},
		"path with a blank":             {change: func(p *Config) { p.PIDFile = "/run/squid pid" }, want: []string{"proxy.pidFile", "must consist of"}},
		"path that continues":           {change: func(p *Config) { p.PIDFile = `/run/squid\` }, want: []string{"proxy.pidFile", "must consist of"}},
		"one file for two logs":         {change: func(p *Config) { p.CacheLog = p.AuditLog }, want: []string{"proxy.cacheLog: Duplicate"}},
		"tenant named by a newline":     {tenants: []v1alpha1.Tenant{newTenant("a\nhttp_access allow all", 3129)}, want: []string{"tenants[0].name"}},
		"tenant named by a quote":       {tenants: []v1alpha1.Tenant{newTenant(`"/etc/passwd"`, 3129)}, want: []string{"tenants[0].name"}},
		"tenant that continues":         {tenants: []v1alpha1.Tenant{newTenant(`a\`, 3129)}, want: []string{"tenants[0].name"}},
		"tenant that comments":          {tenants: []v1alpha1.Tenant{newTenant("a#", 3129)}, want: []string{"tenants[0].name"}},
		"tenant like an option":         {tenants: []v1alpha1.Tenant{newTenant("-n", 3129)}, want: []string{"tenants[0].name"}},
		"tenant named as the manager":   {tenants: []v1alpha1.Tenant{newTenant("manager_port", 3129)}, want: []string{"tenants[0].name"}},
		"tenant of 64 characters":       {tenants: []v1alpha1.Tenant{newTenant(strings.Repeat("a", 64), 3129)}, want: []string{"tenants[0].name", "63"}},
		"no address for a tenant":       {tenants: []v1alpha1.Tenant{newTenant("a", 3129), dedicated("b", 3130)}, want: []string{"proxy.dedicatedAddresses[b]: Required"}},
		"address for a tenant who shares": {
			change: addresses("a", "203.0.113.51"), tenants: []v1alpha1.Tenant{newTenant("a", 3129)},
			want: []string{"proxy.dedicatedAddresses[a]: Forbidden", "no tenant of this name is Dedicated"},
		},
		"address for nobody": {
			change: addresses("a", "203.0.113.51", "b", "203.0.113.52"), tenants: []v1alpha1.Tenant{dedicated("a", 3129)},
			want: []string{"proxy.dedicatedAddresses[b]: Forbidden"},
		},
		"one address for two": {
			change: addresses("a", "203.0.113.51", "b", "203.0.113.51"), tenants: []v1alpha1.Tenant{dedicated("b", 3130), dedicated("a", 3129)},
			want: []string{"proxy.dedicatedAddresses[b]: Duplicate"},
		},
		"a tenant's own is the shared one": {
			change: addresses("a", "203.0.113.50"), tenants: []v1alpha1.Tenant{dedicated("a", 3129)},
			want: []string{"proxy.dedicatedAddresses[a]: Duplicate"},
		},
		"a tenant's own is any":       {change: addresses("a", "0.0.0.0"), tenants: []v1alpha1.Tenant{dedicated("a", 3129)}, want: []string{"proxy.dedicatedAddresses[a]", "of one machine"}},
		"a tenant's own has a zone":   {change: addresses("a", "fe80::1%eth0\nvia on"), tenants: []v1alpha1.Tenant{dedicated("a", 3129)}, want: []string{"proxy.dedicatedAddresses[a]", "zone"}},
		"a tenant's own is mapped":    {change: addresses("a", "::ffff:203.0.113.51"), tenants: []v1alpha1.Tenant{dedicated("a", 3129)}, want: []string{"proxy.dedicatedAddresses[a]", "IPv4 address"}},
		"a tenant's own has no value": {change: func(p *Config) { p.DedicatedAddresses = map[string]netip.Addr{"a": {}} }, tenants: []v1alpha1.Tenant{dedicated("a", 3129)}, want: []string{"proxy.dedicatedAddresses[a]: Required"}},
		"more of their own than there are": {
			change:  addresses("a", "203.0.113.51", "b", "203.0.113.52", "c", "203.0.113.53", "d", "203.0.113.54", "e", "203.0.113.55"),
			tenants: []v1alpha1.Tenant{dedicated("a", 3129), dedicated("b", 3130), dedicated("c", 3131), dedicated("d", 3132), dedicated("e", 3133)},
			want:    []string{"tenants[4].proxy.egressIP", "addresses for at most 4 tenants"},
		},
		"two tenants on a port": {tenants: []v1alpha1.Tenant{newTenant("a", 3129), newTenant("b", 3129)}, want: []string{"tenants[1].proxy.port: Duplicate"}},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			proxy := validProxy()
			if test.change != nil {
				test.change(&proxy)
			}
			file, err := Render(proxy, test.tenants)
			if err == nil {
				t.Fatalf("accepted:\n%s", file)
			}
			if file != nil {
				t.Errorf("a file in spite of the error:\n%s", file)
			}
			rest := err.Error()
			for _, piece := range test.want {
				_, after, found := strings.Cut(rest, piece)
				if !found {
					t.Fatalf("want %q, in this place, in: %v", piece, err)
				}
				rest = after
			}
		})
	}
}

func TestRenderLeavesItsArgumentsAlone(t *testing.T) {
	tenants := []v1alpha1.Tenant{newTenant("b", 3130), newTenant("a", 3129)}
	if _, err := Render(validProxy(), tenants); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]v1alpha1.Tenant{newTenant("b", 3130), newTenant("a", 3129)}, tenants); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// everyPort returns one tenant for each port of the tenants' range.
func everyPort() []v1alpha1.Tenant {
	var result []v1alpha1.Tenant
	for port := int32(names.TenantPortMin); port <= names.TenantPortMax; port++ {
		result = append(result, newTenant(fmt.Sprintf("t%d", port), port))
	}
	return result
}
