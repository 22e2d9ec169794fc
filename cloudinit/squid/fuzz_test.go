package squid

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// FuzzDomains checks the same as FuzzRender for a tenant's lists: a value that
// passes Validate does not have an effect outside the tenant's own lists.
func FuzzDomains(f *testing.F) {
	long := strings.Repeat("a", 63)
	for _, text := range []string{
		"api.github.com", ".Example.com.", "bücher.example", "a.example", ".b.example", long + ".example", long + "a.example", "*.a.example", "192.0.2.1", "0x7f.1", "[::1]",
		"a\nhttp_access allow all", "a.example\r\n", `"/etc/passwd"`, `a.example\`, "a#b", "#a", "-n", "-a.example", "a b", "a\x00b", "${x}.example", "a%41.example", "a。example", "none", "all", ".com",
	} {
		f.Add(text, "a.example", int32(443), "Enforce")
		f.Add("a.example", text, int32(8443), "Report")
	}
	f.Add("", "", int32(25), "Open")
	f.Fuzz(func(t *testing.T, one, other string, port int32, mode string) {
		tenant := newTenant("client-a", names.TenantPortMin)
		tenant.Allow = &v1alpha1.AllowSpec{Mode: policy.Mode(mode), Ports: []int32{port}}
		for _, text := range []string{one, other} {
			if text != "" {
				tenant.Allow.Domains = append(tenant.Allow.Domains, text)
			}
		}
		tenants := []v1alpha1.Tenant{tenant, newTenant("client-z", names.TenantPortMax)}
		file, err := Render(validProxy(), tenants)
		if err != nil {
			return
		}
		if diff := cmp.Diff(expectedDirectives(t, validProxy(), tenants), directives(t, file)); diff != "" {
			t.Errorf("directives, -want +got:\n%s", diff)
		}
	})
}

// FuzzRender checks that values that pass validation yield exactly the expected
// directives, word for word: no value adds, ends, continues or comments out a
// directive.
func FuzzRender(f *testing.F) {
	const goodName = "client-b" // with the good values below, rendering must succeed
	long := strings.Repeat("a", 63)
	for _, name := range []string{
		"client-a", long, long + "a", "0", "-n", "a-", "A", "a_b", "a.b", "", " ", "a b", "all", "manager", "manager_port",
		"a\nhttp_access allow all", "a\r\nvia on", "a\tb", `"/etc/passwd"`, "'a'", `a\`, "a\\\n", "#a", "a#b", "a%b", "${service_name}", "a\x00", "é", "\u2028",
	} {
		f.Add(name, int32(3129), "10.0.0.8", "10.0.0.0/8", "203.0.113.50", "203.0.113.51", "192.0.2.53", "/var/log/squid/audit.log")
		f.Add("client-b", int32(3255), "fd00::8%"+name, "fd00::/8", "2001:db8::1", "2001:db8::2%"+name, "2001:db8::53", "/"+name)
		f.Add(goodName, int32(3129), "10.0.0.8", "10.0.0.0/8", "203.0.113.50", "", "192.0.2.53", "/"+name)
	}
	f.Add(goodName, int32(3129), "10.0.0.8", "10.0.0.0/8", "203.0.113.50", "", "192.0.2.53", "/run/audit.log")
	f.Add(goodName, int32(3255), "fd00::8", "fd00::/8", "2001:db8::1", "2001:db8::2", "2001:db8::53", "/run/audit.log")
	f.Fuzz(func(t *testing.T, name string, port int32, listen, network, egress, dedicated, nameServer, auditLog string) {
		proxy := validProxy()
		// A text that does not parse as an address yields an invalid address.
		proxy.ListenAddress, _ = netip.ParseAddr(listen)
		proxy.EgressAddress, _ = netip.ParseAddr(egress)
		proxy.NameServers[0], _ = netip.ParseAddr(nameServer)
		proxy.ClientNetworks[0], _ = netip.ParsePrefix(network)
		proxy.AuditLog = auditLog
		tenants := []v1alpha1.Tenant{newTenant(name, port), newTenant("client-z", names.TenantPortMax-1)}
		if dedicated != "" {
			own, _ := netip.ParseAddr(dedicated)
			dedicate(&proxy, tenants, map[string]netip.Addr{name: own})
		}

		file, err := Render(proxy, tenants)
		if err != nil {
			if file != nil {
				t.Errorf("a file in spite of %v", err)
			}
			if name == goodName && auditLog == "/run/audit.log" && listen == "10.0.0.8" && port == names.TenantPortMin &&
				network == "10.0.0.0/8" && egress == "203.0.113.50" && dedicated == "" && nameServer == "192.0.2.53" {
				t.Errorf("good values are refused: %v", err)
			}
			return
		}
		if diff := cmp.Diff(expectedDirectives(t, proxy, tenants), directives(t, file)); diff != "" {
			t.Errorf("directives, -want +got:\n%s", diff)
		}
		want := map[string]string{}
		for _, tenant := range tenants {
			want[tenant.Name] = tenant.Revision()
		}
		if diff := cmp.Diff(want, Revisions(file)); diff != "" {
			t.Errorf("revisions, -want +got:\n%s", diff)
		}
	})
}

// directives parses a file as Squid does: comments and empty lines are left out,
// words are separated by blanks. It fails on text that Squid would parse
// differently.
func directives(t *testing.T, file []byte) []string {
	t.Helper()
	var result []string
	for line := range strings.Lines(string(file)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("not plain ASCII: %q", line)
		}
		if strings.HasSuffix(line, `\`) {
			t.Errorf("continued on the next line: %q", line)
		}
		words := strings.Fields(line)
		if strings.Join(words, " ") != line {
			t.Errorf("blanks too many: %q", line)
		}
		if slices.Contains(fixedLines(), line) {
			result = append(result, line)
			continue
		}
		for i, word := range words[1:] {
			if word == "-n" && i == 2 && (words[2] == "dst" || words[2] == "dstdomain") {
				continue // the option
			}
			if strings.ContainsAny(word[:1], `"'#-`) {
				t.Errorf("a word begins with what Squid takes for something else: %q", line)
			}
		}
		if words[0] != "logformat" && strings.ContainsAny(line, `"'\#%$`) {
			t.Errorf("a character that may mean something to Squid: %q", line)
		}
		result = append(result, line)
	}
	return result
}

// fixedLines are the only lines, apart from the log format, that need characters
// with a special meaning to Squid. They contain no value.
func fixedLines() []string {
	return []string{
		`reply_header_add X-Egress-Revision "%note{revision}" tagged_already`,
		`reply_header_add X-Egress-Tenant "%note{tenant}" tagged_already probe`,
		`acl status_path urlpath_regex ^/egress-status$`,
		`acl probe_url url_regex ^http://0[.]0[.]0[.]0/egress-probe$`,
		`acl note_inside annotate_client inside="%ssl::>received_hello_version"`,
		`acl no_tls_inside note inside -`,
		`url_rewrite_extras "-"`,
		`store_id_extras "-"`,
	}
}

// expectedDirectives renders a file with harmless values in place of the given
// ones, and then substitutes the given values in its directives. The values can
// therefore not add, remove or change a directive.
func expectedDirectives(t *testing.T, proxy Config, tenants []v1alpha1.Tenant) []string {
	t.Helper()
	var places []string // old, new, old, new
	put := func(harmless, value string) string {
		places = append(places, harmless, value)
		return harmless
	}
	plain := proxy
	plain.AuditLog = put("/harmless/audit.log", proxy.AuditLog)
	plain.ListenAddress, plain.EgressAddress = proxy.ListenAddress.WithZone(""), proxy.EgressAddress.WithZone("")
	plain.NameServers = []netip.Addr{proxy.NameServers[0].WithZone("")}
	plain.DedicatedAddresses = map[string]netip.Addr{}

	// Tenants are sorted by name, and so are their harmless substitutes.
	sorted := slices.SortedFunc(slices.Values(tenants), func(a, b v1alpha1.Tenant) int { return strings.Compare(a.Name, b.Name) })
	var others []v1alpha1.Tenant
	for i, tenant := range sorted {
		other := tenant
		other.Name = put(fmt.Sprintf("harmless-%d", i), tenant.Name)
		if own, ok := proxy.DedicatedAddresses[tenant.Name]; ok {
			plain.DedicatedAddresses[other.Name] = own.WithZone("")
		}
		if tenant.Allow != nil {
			other.Allow = &v1alpha1.AllowSpec{Mode: tenant.Allow.Mode, Ports: tenant.Allow.Ports}
			for j, domain := range tenant.AllowList().Domains {
				other.Allow.Domains = append(other.Allow.Domains, put(fmt.Sprintf("listed-%d-%d.test", i, j), domain.String()))
			}
		}
		put(other.Revision(), tenant.Revision())
		others = append(others, other)
	}
	file, err := Render(plain, others)
	if err != nil {
		t.Fatalf("harmless values are refused: %v", err)
	}
	var result []string
	replacer := strings.NewReplacer(places...)
	for _, line := range directives(t, file) {
		result = append(result, replacer.Replace(line))
	}
	return result
}
