package squid

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/v1alpha1"
)

// FuzzDomains checks the same for what a tenant lists: of whatever Validate lets
// pass, nothing gets beyond the tenant's own lists.
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
		tenant := newTenant("client-a", v1alpha1.ProxyPortMin)
		tenant.Allow = &v1alpha1.AllowSpec{Mode: v1alpha1.AllowMode(mode), Ports: []int32{port}}
		for _, text := range []string{one, other} {
			if text != "" {
				tenant.Allow.Domains = append(tenant.Allow.Domains, text)
			}
		}
		tenants := []v1alpha1.Tenant{tenant, newTenant("client-z", v1alpha1.ProxyPortMax)}
		file, err := Render(validProxy(), tenants)
		if err != nil {
			return
		}
		if diff := cmp.Diff(expectedDirectives(validProxy(), tenants), directives(t, file)); diff != "" {
			t.Errorf("directives, -want +got:\n%s", diff)
		}
	})
}

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
		if line == generationLine {
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

// generationLine is the one, beside the log's format, that needs what means
// something to Squid. No value is in it.
const generationLine = `reply_header_add X-Egress-Generation "%note{generation}" tagged_already`

// publicAddresses are the proxy's own that are not forbidden anyway.
func publicAddresses(proxy Proxy) []netip.Addr {
	own := map[netip.Addr]bool{proxy.EgressAddress: true}
	for _, address := range proxy.DedicatedAddresses {
		own[address] = true
	}
	for _, network := range v1alpha1.ForbiddenDestinations() {
		maps.DeleteFunc(own, func(address netip.Addr, _ bool) bool { return network.Contains(address) })
	}
	return slices.SortedFunc(maps.Keys(own), netip.Addr.Compare)
}

// expectedDirectives spells out, without the template, what a proxy with these
// tenants is told.
func expectedDirectives(proxy Proxy, tenants []v1alpha1.Tenant) []string {
	tenants = slices.SortedFunc(slices.Values(tenants), func(a, b v1alpha1.Tenant) int { return strings.Compare(a.Name, b.Name) })
	modes := map[int32]v1alpha1.AllowMode{}
	lists := map[int32]v1alpha1.AllowList{}
	generations := map[int32]string{}
	var peeked []string
	for _, tenant := range tenants {
		list := tenant.AllowList()
		lists[tenant.Proxy.Port], modes[tenant.Proxy.Port] = list, list.Mode
		generations[tenant.Proxy.Port] = tenant.Generation()
		if list.Mode != v1alpha1.AllowOpen {
			peeked = append(peeked, tenant.Name)
		}
	}
	var result []string
	add := func(format string, values ...any) { result = append(result, fmt.Sprintf(format, values...)) }
	each := func(line func(name string, port int32)) {
		for _, tenant := range tenants {
			line(tenant.Name, tenant.Proxy.Port)
		}
	}
	each(func(name string, port int32) {
		bump := ""
		if modes[port] != v1alpha1.AllowOpen {
			bump = " ssl-bump tls-cert=" + proxy.Certificate + " generate-host-certificates=off"
		}
		add("http_port %s name=%s%s", netip.AddrPortFrom(proxy.ListenAddress, uint16(port)), name, bump)
	})
	add("http_port 127.0.0.1:%d name=manager_port", proxy.ManagerPort)
	add("acl manager_port myportname manager_port")
	add("acl clients src %s", proxy.ClientNetworks[0])
	add("acl plain_port port 80")
	add("acl tls_port port 443")
	add("acl plain_http proto HTTP")
	add("acl purge method PURGE")
	ifPeeked := func(format string, values ...any) {
		if len(peeked) > 0 {
			add(format, values...)
		}
	}
	ifPeeked("acl step1 at_step SslBump1")
	add("acl forbidden_port port 25 53 465 587")
	for _, acl := range []string{"forbidden_address dst -n", "forbidden_destination dst"} {
		for _, network := range v1alpha1.ForbiddenDestinations() {
			add("acl %s %s", acl, network)
		}
		for _, own := range publicAddresses(proxy) {
			add("acl %s %s/%d", acl, own, own.BitLen())
		}
	}
	add("acl allowed annotate_transaction verdict=allowed")
	for _, rule := range []string{"manager", "client", "protocol", "forbidden-destination", "forbidden-port", "port", "domain"} {
		add("acl denied_%s annotate_transaction verdict=denied rule=%s", rule, rule)
	}
	for _, rule := range []string{"port", "domain", "sni"} {
		ifPeeked("acl would_%s annotate_transaction verdict=wouldDeny rule=%s", rule, rule)
	}
	ifPeeked("acl terminated_sni annotate_transaction verdict=terminated rule=sni")
	ifPeeked("acl tunnel_follows annotate_transaction follows=tunnel")
	ifPeeked("acl only_half note follows tunnel")
	ifPeeked("acl mark_other annotate_client inside=other")
	ifPeeked("acl other_inside note inside other")
	ifPeeked("acl unsaid squid_error ERR_REQUEST_START_TIMEOUT ERR_REQUEST_PARSE_TIMEOUT")
	add("acl passes note verdict allowed wouldDeny")
	each(func(name string, port int32) {
		add("acl l_%d myportname %s", port, name)
		add("acl tag_%d annotate_transaction tenant=%s generation=%s", port, name, generations[port])
		for _, domain := range lists[port].Domains {
			add("acl d_%d dstdomain -n %s", port, domain)
			add("acl s_%d ssl::server_name %s", port, domain)
		}
	})
	result = append(result, expectedLists(proxy, tenants)...)
	add("http_access allow manager_port localhost manager")
	add("http_access deny manager_port denied_manager")
	if len(tenants) > 0 {
		add("http_access deny tagged !all")
	}
	add("http_access deny manager denied_manager")
	ifPeeked("http_access allow peeked CONNECT !clients denied_client")
	ifPeeked("http_access allow peeked CONNECT forbidden_address denied_forbidden-destination")
	ifPeeked("http_access allow peeked CONNECT forbidden_port denied_forbidden-port")
	step := ""
	if len(peeked) > 0 {
		step = " !other_inside"
	}
	for _, rule := range []string{"!clients denied_client", "!CONNECT !plain_http" + step + " denied_protocol", "purge denied_protocol", "forbidden_address denied_forbidden-destination", "forbidden_port denied_forbidden-port"} {
		add("http_access deny %s", rule)
	}
	ifMode := func(mode v1alpha1.AllowMode, lines ...string) {
		if slices.Contains(slices.Collect(maps.Values(modes)), mode) {
			result = append(result, lines...)
		}
	}
	ifMode(
		v1alpha1.AllowEnforce,
		"http_access allow CONNECT enforced unlisted_port denied_port",
		"http_access allow CONNECT enforced plain_port denied_port",
		"http_access allow CONNECT enforced unlisted_domain denied_domain",
		"http_access deny !CONNECT enforced unlisted_port denied_port",
		"http_access deny !CONNECT enforced unlisted_domain denied_domain",
	)
	ifMode(
		v1alpha1.AllowOpen,
		"http_access deny open unlisted_port denied_port",
		"http_access deny CONNECT open plain_port denied_port",
	)
	ifPeeked("http_access allow peeked CONNECT forbidden_destination denied_forbidden-destination")
	add("http_access deny forbidden_destination denied_forbidden-destination")
	ifMode(v1alpha1.AllowEnforce, "http_access allow enforced allowed")
	ifMode(v1alpha1.AllowOpen, "http_access allow open allowed")
	ifMode(
		v1alpha1.AllowReport,
		"http_access allow reported unlisted_port would_port",
		"http_access allow reported CONNECT plain_port would_port",
		"http_access allow reported unlisted_domain would_domain",
		"http_access allow reported !step1 unlisted_sni would_sni",
		"http_access allow reported other_inside would_sni",
		"http_access allow reported allowed",
	)
	add("http_access deny all")
	add("miss_access allow passes")
	add("miss_access deny all")
	ifPeeked("ssl_bump none !passes")
	ifPeeked("ssl_bump none !tls_port")
	ifPeeked("ssl_bump peek step1")
	ifMode(v1alpha1.AllowEnforce, "ssl_bump splice enforced listed_sni tunnel_follows")
	ifMode(v1alpha1.AllowReport, "ssl_bump splice reported tunnel_follows")
	ifPeeked("ssl_bump terminate terminated_sni")
	ifMode(v1alpha1.AllowReport, "on_unsupported_protocol tunnel reported mark_other tunnel_follows")
	ifPeeked("on_unsupported_protocol respond unsaid")
	ifPeeked("on_unsupported_protocol respond terminated_sni")
	for i, address := range egressAddresses(proxy, tenants) {
		add("tcp_outgoing_address %s e_%d", address, i+1)
	}
	add("tcp_outgoing_address 127.0.0.1 all")
	add("tcp_outgoing_address ::1 all")
	add("dns_nameservers %s", proxy.NameServers[0])
	add("udp_outgoing_address %s", proxy.EgressAddress)
	for _, line := range []string{
		"hosts_file none", "negative_dns_ttl 5 seconds",
		"via off", "forwarded_for delete", "follow_x_forwarded_for deny all", "ident_lookup_access deny all",
		"httpd_suppress_version_string on", "visible_hostname egress-proxy", "email_err_data off",
		"error_directory " + proxy.ErrorPages,
		"reply_header_access X-Egress-Generation deny all",
	} {
		add("%s", line)
	}
	add("acl tagged_already note generation")
	add("%s", generationLine)
	half := ""
	if len(peeked) > 0 {
		half = " !only_half"
	}
	return append(result,
		"logformat audit "+auditFormat(), "access_log daemon:"+proxy.AuditLog+" logformat=audit"+half, "cache_log "+proxy.CacheLog, "logfile_rotate 0",
		"max_filedescriptors 65536", "request_start_timeout 30 seconds", "request_timeout 1 minute", "connect_timeout 10 seconds", "forward_timeout 30 seconds",
		"request_header_max_size 32 KB", "reply_header_max_size 64 KB",
		"read_timeout 15 minutes", "client_lifetime 12 hours", "shutdown_lifetime 5 seconds",
		"delay_pools 1", "delay_class 1 1", "delay_parameters 1 none", "delay_access 1 deny all",
		"cache deny all", "memory_pools off", "client_db off", "pinger_enable off", "global_internal_static off",
		"pid_filename "+proxy.PIDFile, "coredump_dir none",
	)
}

// expectedLists spells out what tenants are put together by.
func expectedLists(proxy Proxy, tenants []v1alpha1.Tenant) []string {
	var result []string
	add := func(format string, values ...any) { result = append(result, fmt.Sprintf(format, values...)) }
	var portLists []string
	for _, tenant := range tenants {
		list := tenant.AllowList()
		add("acl %s myportname %s", map[v1alpha1.AllowMode]string{"Enforce": "enforced", "Report": "reported", "Open": "open"}[list.Mode], tenant.Name)
		if list.Mode != v1alpha1.AllowOpen {
			add("acl peeked myportname %s", tenant.Name)
		}
		if ports := portsOf(tenant); !slices.Contains(portLists, ports) {
			portLists = append(portLists, ports)
		}
	}
	for i, ports := range portLists {
		for _, tenant := range tenants {
			if portsOf(tenant) == ports {
				add("acl o_%d myportname %s", i+1, tenant.Name)
			}
		}
		add("acl p_%d port %s", i+1, ports)
	}
	for i, address := range egressAddresses(proxy, tenants) {
		for _, tenant := range tenants {
			if egressOf(proxy, tenant) == address {
				add("acl e_%d myportname %s", i+1, tenant.Name)
			}
		}
	}
	for i := range portLists {
		add("acl unlisted_port all-of o_%d !p_%d", i+1, i+1)
	}
	number := 0
	for some := range slices.Chunk(tenants, 8) {
		number++
		result = append(result, expectedGroup(number, some)...)
	}
	return result
}

// expectedGroup spells out the rules of some tenants, and that they are a group.
func expectedGroup(number int, tenants []v1alpha1.Tenant) []string {
	var result []string
	rules := []string{"tagged"}
	for _, tenant := range tenants {
		port, list := tenant.Proxy.Port, tenant.AllowList()
		add := func(rule, values string) {
			result = append(result, fmt.Sprintf("acl %s_%d all-of l_%d %s", rule, number, port, values))
			rules = append(rules, rule)
		}
		not := func(kind string) string {
			if len(list.Domains) == 0 {
				return "all"
			}
			return fmt.Sprintf("!%s_%d", kind, port)
		}
		result = append(result, fmt.Sprintf("acl g_%d myportname %s", number, tenant.Name))
		add("tagged", fmt.Sprintf("tag_%d", port))
		if list.Mode != v1alpha1.AllowOpen {
			add("unlisted_domain", not("d"))
		}
		switch list.Mode {
		case v1alpha1.AllowEnforce:
			add("listed_sni", fmt.Sprintf("s_%d", port))
		case v1alpha1.AllowReport:
			add("unlisted_sni", not("s"))
		default:
		}
	}
	for _, rule := range []string{"tagged", "unlisted_domain", "listed_sni", "unlisted_sni"} {
		if slices.Contains(rules, rule) {
			result = append(result, fmt.Sprintf("acl %s all-of g_%d %s_%d", rule, number, rule, number))
		}
	}
	return result
}

func portsOf(tenant v1alpha1.Tenant) string {
	return strings.Trim(fmt.Sprint(tenant.AllowList().Ports), "[]")
}

// egressAddresses are those that tenants leave by, in the order of the tenants.
func egressAddresses(proxy Proxy, tenants []v1alpha1.Tenant) []netip.Addr {
	var result []netip.Addr
	for _, tenant := range tenants {
		if address := egressOf(proxy, tenant); !slices.Contains(result, address) {
			result = append(result, address)
		}
	}
	return result
}
