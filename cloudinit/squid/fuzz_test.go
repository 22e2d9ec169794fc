package squid

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/v1alpha1"
)

// FuzzRender checks that whatever passes validation yields the directives that
// are expected and no other, word for word: no value adds, ends, continues or
// comments out any.
func FuzzRender(f *testing.F) {
	const goodName = "client-b" // with the good values below, this must be rendered
	long := strings.Repeat("a", 63)
	for _, name := range []string{
		"client-a", long, long + "a", "0", "-n", "a-", "A", "a_b", "a.b", "", " ", "a b", "all", "manager", "manager_port",
		"a\nhttp_access allow all", "a\r\nvia on", "a\tb", `"/etc/passwd"`, "'a'", `a\`, "a\\\n", "#a", "a#b", "a%b", "${service_name}", "a\x00", "é", "\u2028",
	} {
		f.Add(name, int32(3129), "10.0.0.8", "10.0.0.0/8", "203.0.113.50", "203.0.113.51", "192.0.2.53", "/var/log/squid/audit.log")
		f.Add("client-b", int32(3255), "fd00::8%"+name, "fd00::/8", "2001:db8::1", "2001:db8::2%"+name, "2001:db8::53", "/"+name)
	}
	f.Add(goodName, int32(3129), "10.0.0.8", "10.0.0.0/8", "203.0.113.50", "", "192.0.2.53", "/run/audit.log")
	f.Add(goodName, int32(3255), "fd00::8", "fd00::/8", "2001:db8::1", "2001:db8::2", "2001:db8::53", "/run/audit.log")
	f.Fuzz(func(t *testing.T, name string, port int32, listen, network, egress, dedicated, nameServer, auditLog string) {
		proxy := validProxy()
		// What is no address stays one that isn't valid.
		proxy.ListenAddress, _ = netip.ParseAddr(listen)
		proxy.EgressAddress, _ = netip.ParseAddr(egress)
		proxy.NameServers[0], _ = netip.ParseAddr(nameServer)
		proxy.ClientNetworks[0], _ = netip.ParsePrefix(network)
		proxy.AuditLog = auditLog
		tenants := []v1alpha1.Tenant{newTenant(name, port), newTenant("client-z", v1alpha1.ProxyPortMax-1)}
		if dedicated != "" {
			own, _ := netip.ParseAddr(dedicated)
			dedicate(&proxy, tenants, map[string]netip.Addr{name: own})
		}

		file, err := Render(proxy, tenants)
		if err != nil {
			if file != nil {
				t.Errorf("a file in spite of %v", err)
			}
			if name == goodName && auditLog == "/run/audit.log" && listen == "10.0.0.8" && port == v1alpha1.ProxyPortMin &&
				network == "10.0.0.0/8" && egress == "203.0.113.50" && dedicated == "" && nameServer == "192.0.2.53" {
				t.Errorf("good values are refused: %v", err)
			}
			return
		}
		if diff := cmp.Diff(expectedDirectives(proxy, tenants), directives(t, file)); diff != "" {
			t.Errorf("directives, -want +got:\n%s", diff)
		}
		want := map[string]string{}
		for _, tenant := range tenants {
			want[tenant.Name] = tenant.Generation()
		}
		if diff := cmp.Diff(want, Generations(file)); diff != "" {
			t.Errorf("generations, -want +got:\n%s", diff)
		}
	})
}

// directives reads a file as Squid does: comments and empty lines are left
// out, words stand between blanks. It fails on what would make Squid read
// something else.
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
		for _, word := range words[1:] {
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

// expectedDirectives spells out, without the template, what a proxy with these
// tenants is told.
func expectedDirectives(proxy Proxy, tenants []v1alpha1.Tenant) []string {
	tenants = slices.SortedFunc(slices.Values(tenants), func(a, b v1alpha1.Tenant) int { return strings.Compare(a.Name, b.Name) })
	var result []string
	add := func(format string, values ...any) { result = append(result, fmt.Sprintf(format, values...)) }
	each := func(line func(name string, port int32)) {
		for _, tenant := range tenants {
			line(tenant.Name, tenant.Proxy.Port)
		}
	}
	each(func(name string, port int32) {
		add("http_port %s name=%s", netip.AddrPortFrom(proxy.ListenAddress, uint16(port)), name)
	})
	add("http_port 127.0.0.1:%d name=manager_port", proxy.ManagerPort)
	add("acl manager_port myportname manager_port")
	add("acl clients src %s", proxy.ClientNetworks[0])
	add("acl web_port port 80 443")
	add("acl tls_port port 443")
	add("acl plain_http proto HTTP")
	for _, network := range forbiddenDestinations() {
		add("acl forbidden_destination dst %s", network)
	}
	each(func(name string, port int32) {
		add("acl l_%d myportname %s", port, name)
		add("acl tag_%d annotate_transaction tenant=%s", port, name)
	})
	add("http_access allow manager_port localhost manager")
	add("http_access deny manager_port")
	each(func(_ string, port int32) { add("http_access deny l_%d tag_%d !all", port, port) })
	for _, rule := range []string{"manager", "!clients", "!web_port", "CONNECT !tls_port", "!CONNECT !plain_http", "forbidden_destination"} {
		add("http_access deny %s", rule)
	}
	each(func(_ string, port int32) { add("http_access allow l_%d", port) })
	add("http_access deny all")
	each(func(name string, port int32) {
		egress := proxy.EgressAddress
		if own, ok := proxy.DedicatedAddresses[name]; ok {
			egress = own
		}
		add("tcp_outgoing_address %s l_%d", egress, port)
	})
	add("tcp_outgoing_address 127.0.0.1 all")
	add("tcp_outgoing_address ::1 all")
	add("dns_nameservers %s", proxy.NameServers[0])
	add("udp_outgoing_address %s", proxy.EgressAddress)
	for _, line := range []string{
		"hosts_file none", "negative_dns_ttl 5 seconds",
		"via off", "forwarded_for delete", "follow_x_forwarded_for deny all", "ident_lookup_access deny all",
		"httpd_suppress_version_string on", "visible_hostname egress-proxy", "email_err_data off",
		"reply_header_access X-Egress-Generation deny all",
	} {
		add("%s", line)
	}
	for _, tenant := range tenants {
		add("reply_header_add X-Egress-Generation %s l_%d", tenant.Generation(), tenant.Proxy.Port)
	}
	return append(result,
		"logformat audit "+auditFormat(), "access_log daemon:"+proxy.AuditLog+" logformat=audit", "cache_log "+proxy.CacheLog, "logfile_rotate 0",
		"max_filedescriptors 65536", "request_start_timeout 30 seconds", "request_timeout 1 minute", "connect_timeout 10 seconds", "forward_timeout 30 seconds",
		"read_timeout 15 minutes", "client_lifetime 12 hours", "shutdown_lifetime 5 seconds",
		"cache deny all", "memory_pools off", "client_db off", "pinger_enable off",
		"pid_filename "+proxy.PIDFile, "coredump_dir none",
	)
}
