package squid

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

func withAllow(name string, port int32, allow *v1alpha1.AllowSpec) v1alpha1.Tenant {
	tenant := newTenant(name, port)
	tenant.Allow = allow
	return tenant
}

// withHosts renders a file in which Squid resolves hosts from a hosts file, not
// by a name server.
func withHosts(t testing.TB, proxy Config, tenants []v1alpha1.Tenant, address string, hosts []string) []byte {
	t.Helper()
	file, err := Render(proxy, tenants)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, host := range hosts {
		fmt.Fprintln(&text, address, host)
	}
	name := hostsFile(proxy)
	if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return replaceOnce(t, file, "hosts_file none\n", "hosts_file "+name+"\n")
}

// hostsFile is the file that withHosts writes.
func hostsFile(proxy Config) string { return filepath.Join(filepath.Dir(proxy.AuditLog), "hosts") }

func replaceOnce(t testing.TB, file []byte, before, after string) []byte {
	t.Helper()
	if strings.Count(string(file), before) != 1 {
		t.Fatalf("the file has not one %q", before)
	}
	return []byte(strings.Replace(string(file), before, after, 1))
}

// lateClock is the time after which Squid has noticed the end of a timeout. It checks its clock,
// which has no parts of seconds, once a second, and later on a busy machine.
const lateClock = 4 * time.Second

// connectTo opens a connection to a tenant's port, with a deadline of a minute.
func connectTo(ctx context.Context, proxy Config, tenant v1alpha1.Tenant) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 30 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(proxy.ListenAddress, 0))}
	connection, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(proxy.ListenAddress, uint16(tenant.Proxy.Port)).String())
	if err != nil {
		return nil, err
	}
	return connection, connection.SetDeadline(time.Now().Add(time.Minute))
}

// openTunnel sends a CONNECT and returns the status of the answer.
func openTunnel(connection net.Conn, target string) (int, error) {
	if _, err := fmt.Fprintf(connection, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", target, target); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, nil
}

// TestTunnels requests a TLS origin through tenants in every mode. The SNI in
// the tunnel may differ from the host of the CONNECT.
func TestTunnels(t *testing.T) {
	proxy := liveProxy(t)
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "reached") }))
	origin.Config.ErrorLog = log.New(io.Discard, "", 0) // the test provokes errors that the server would log
	origin.StartTLS()
	t.Cleanup(origin.Close)
	_, port, _ := net.SplitHostPort(origin.Listener.Addr().String())
	number, _ := strconv.Atoi(port)
	domains, ports := []string{".allowed.test", "single.test"}, []int32{80, 443, int32(number)}
	tenants := []v1alpha1.Tenant{
		withAllow("enforce", 3129, &v1alpha1.AllowSpec{Domains: domains, Ports: ports}),
		withAllow("report", 3130, &v1alpha1.AllowSpec{Mode: policy.ModeReport, Domains: domains, Ports: ports}),
		withAllow("open", 3131, &v1alpha1.AllowSpec{Mode: policy.ModeOpen, Ports: ports}),
	}
	file := withHosts(t, proxy, tenants, "127.0.0.1", []string{"allowed.test", "a.allowed.test", "single.test", "other.test"})
	file = replaceOnce(t, file, "acl tls_port port 443\n", "acl tls_port port "+port+"\n")
	file = regexp.MustCompile(`(?m)^http_access (allow|deny) .*forbidden_(address|destination) .*\n`).ReplaceAll(file, nil)
	const timeout = 5 * time.Second // within which a busy machine, too, sends the hello
	file = replaceOnce(t, file, "request_start_timeout 30 seconds\n", "request_start_timeout 5 seconds\n")
	file = replaceOnce(t, file, "request_timeout 1 minute\n", "request_timeout 5 seconds\n")
	startFile(t, proxy, file)

	type outcome struct {
		reached bool
		verdict policy.Verdict
		rule    policy.Rule
	}
	passes, wouldDeny := outcome{true, "allowed", "-"}, func(rule policy.Rule) outcome { return outcome{true, "would-deny", rule} }
	denied, terminated := outcome{false, "denied", "domain"}, outcome{false, "terminated", "sni"}
	const (
		plain   = "no TLS"
		silence = "nothing is said in time"
		half    = "only the beginning of a message is said in time"
	)
	var want []outcome
	var got []outcome
	var names []string
	for _, test := range []struct {
		host, sni             string
		enforce, report, open outcome
	}{
		{"allowed.test", "allowed.test", passes, passes, passes},
		{"allowed.test", "A.Allowed.Test", passes, passes, passes},
		{"a.allowed.test", "single.test", passes, passes, passes},
		{"allowed.test", "other.test", terminated, wouldDeny("sni"), passes},
		{"allowed.test", "badallowed.test", terminated, wouldDeny("sni"), passes},
		{"single.test", "x.single.test", terminated, wouldDeny("sni"), passes},
		{"allowed.test", "", passes, passes, passes},
		{"other.test", "allowed.test", denied, wouldDeny("domain"), passes},
		{"other.test", "other.test", denied, wouldDeny("domain"), passes},
		{"other.test", "", denied, wouldDeny("domain"), passes},
		{"allowed.test", plain, terminated, wouldDeny("sni"), passes},
		{"allowed.test", silence, outcome{false, "allowed", "-"}, wouldDeny("sni"), passes},
		{"allowed.test", half, outcome{false, "allowed", "-"}, wouldDeny("sni"), outcome{false, "allowed", "-"}},
	} {
		for i, expected := range []outcome{test.enforce, test.report, test.open} {
			name := fmt.Sprintf("%s: CONNECT %s, SNI %q", tenants[i].Name, test.host, test.sni)
			connection, err := connectTo(t.Context(), proxy, tenants[i])
			if err != nil {
				t.Fatal(err)
			}
			status, err := openTunnel(connection, net.JoinHostPort(test.host, port))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if wanted := map[bool]int{true: http.StatusForbidden, false: http.StatusOK}[expected == denied]; status != wanted {
				t.Errorf("%s: status %d, want %d", name, status, wanted)
			}
			answer := ""
			if status == http.StatusOK {
				inside := io.ReadWriter(connection)
				switch test.sni {
				case plain:
				case silence, half:
					if test.sni == half {
						_, _ = connection.Write([]byte{22, 3, 1, 0, 5}) // announces 5 bytes of a TLS handshake
					}
					if tenants[i].Allow.Mode != policy.ModeOpen {
						time.Sleep(timeout + lateClock)
					}
				default:
					inside = tls.Client(connection, &tls.Config{ServerName: test.sni, InsecureSkipVerify: true})
				}
				if _, err := io.WriteString(inside, "GET / HTTP/1.0\r\n\r\n"); err == nil {
					body, _ := io.ReadAll(inside)
					answer = string(body)
				}
			}
			connection.Close()
			got = append(got, outcome{reached: strings.Contains(answer, "reached") || strings.Contains(answer, "HTTP request to an HTTPS server")})
			want, names = append(want, expected), append(names, name)
		}
	}
	records := readAudit(t, proxy.AuditLog, len(want))
	for i, record := range records {
		got[i].verdict, got[i].rule = record.Verdict, record.Rule
		if got[i] != want[i] {
			t.Errorf("%s: %+v, want %+v; %+v", names[i], got[i], want[i], record)
		}
	}
}

// TestWhoIsNoClient: an address outside the client networks is denied, also on a
// port with inspected tunnels, by CONNECT and in plain HTTP.
func TestWhoIsNoClient(t *testing.T) {
	proxy := liveProxy(t)
	startRendered(t, proxy, []v1alpha1.Tenant{withAllow("a", 3129, &v1alpha1.AllowSpec{Mode: policy.ModeReport})})
	for _, request := range []string{"GET http://" + allowed + "/", "CONNECT " + allowed + ":443"} {
		if status, _ := ask(t, netip.MustParseAddr("127.0.0.1"), netip.AddrPortFrom(proxy.ListenAddress, 3129), request); status != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403", request, status)
		}
	}
	for _, record := range readAudit(t, proxy.AuditLog, 2) {
		if record.Verdict != policy.VerdictDenied || record.Rule != policy.RuleClient {
			t.Errorf("not denied as no client's: %+v", record)
		}
	}
}

// hostPool generates hosts that may occur in requests of tenants with these
// domains in their lists.
type hostPool struct {
	random  *rand.Rand
	domains []string
	literal []string
}

func newHostPool(seed uint64) *hostPool {
	pool := &hostPool{random: rand.New(rand.NewPCG(seed, 0))}
	for i := range 60 {
		pool.domains = append(pool.domains, fmt.Sprintf("%sh%d.d%d.test", []string{"", ".", "www.", ".a.b."}[i%4], i%9, i%5), fmt.Sprintf("%sd%d.test", []string{"", "."}[i%2], i%5))
	}
	pool.domains = append(pool.domains, "bücher.test", ".XN--Mller-KVA.test", "single", "Upper.Test.", ".dot.test.", "1.2.3.4.5.test")
	slices.Sort(pool.domains)
	pool.domains = slices.Compact(pool.domains)
	pool.literal = append(pool.literal, forbiddenHosts()...)
	pool.literal = append(pool.literal, strings.Fields(`
		192.0.2.10 192.0.2.10. 3221225994 0xC000020A 0xc0.0.2.10 0300.0.2.012 192.0.522 192.522 [::ffff:192.0.2.10]
		256.1.1.1 192.0.2.256 1.2.3.4.5 0x 0x1g.1 08.1 4294967296 192.0.2.0x0a`)...)
	return pool
}

func (p *hostPool) pick(list []string) string { return list[p.random.IntN(len(list))] }

// tenant returns a tenant with a random list.
func (p *hostPool) tenant(port int32) v1alpha1.Tenant {
	modes := []policy.Mode{policy.ModeEnforce, policy.ModeEnforce, policy.ModeReport, policy.ModeOpen}
	allow := &v1alpha1.AllowSpec{Mode: modes[int(port)%len(modes)]}
	if allow.Mode != policy.ModeOpen {
		for _, i := range p.random.Perm(len(p.domains))[:1+p.random.IntN(20)] {
			allow.Domains = append(allow.Domains, p.domains[i])
		}
	}
	if p.random.IntN(2) == 0 {
		for _, i := range p.random.Perm(4)[:1+p.random.IntN(4)] {
			allow.Ports = append(allow.Ports, []int32{80, 443, 8080, 65535}[i])
		}
	}
	if p.random.IntN(12) == 0 {
		allow = nil
	}
	return withAllow(fmt.Sprintf("t%d", port), port, allow)
}

func (p *hostPool) host(tenant v1alpha1.Tenant) string {
	if p.random.IntN(5) == 0 {
		return p.pick(p.literal)
	}
	from := p.domains
	if tenant.Allow != nil && len(tenant.Allow.Domains) > 0 && p.random.IntN(3) > 0 {
		from = tenant.Allow.Domains
	}
	domain, err := policy.ParseDomain(p.pick(from))
	if err != nil {
		panic(err)
	}
	host := strings.TrimPrefix(domain.String(), ".")
	switch p.random.IntN(8) {
	case 0:
		host = "x." + host
	case 1:
		host = "x.y." + host
	case 2:
		host = "bad" + host
	case 3:
		host += ".other"
	case 4:
		_, parent, _ := strings.Cut(host, ".")
		host = "z." + parent
	}
	switch p.random.IntN(5) {
	case 0:
		host = strings.ToUpper(host)
	case 1:
		host = strings.TrimRight(host, ".") + "."
	}
	return host
}

// TestDecideAgreesWithSquid compares List.Decide, a pure function, with a running
// Squid: 10,000 requests of 100 tenants, for names that Squid can resolve.
func TestDecideAgreesWithSquid(t *testing.T) {
	const tenantCount, each, seed = 100, 100, 7
	pool := newHostPool(seed)
	proxy := liveProxy(t)
	type request struct {
		method, host string
		port         uint16
	}
	var tenants []v1alpha1.Tenant
	requests := map[string][]request{}
	known := map[string]bool{}
	for i := range int32(tenantCount) {
		tenant := pool.tenant(names.TenantPortMin + i)
		tenants = append(tenants, tenant)
		for range each {
			r := request{
				method: pool.pick([]string{"GET", "CONNECT", "CONNECT", "CONNECT", "HEAD", "DELETE", "POST", "PURGE", "Purge", "TRACE", "Trace"}), host: pool.host(tenant),
				port: []uint16{80, 443, 443, 443, 80, 8080, 65535, 22, 25, 53}[pool.random.IntN(10)],
			}
			requests[tenant.Name] = append(requests[tenant.Name], r)
			if name := strings.TrimRight(strings.ToLower(r.host), "."); !slices.Contains(forbiddenHosts(), name) && !strings.Contains(name, "[") {
				known[name] = true
			}
		}
	}
	var hosts []string
	for host := range known {
		if _, err := netip.ParseAddr(host); err != nil {
			hosts = append(hosts, host)
		}
	}
	startFile(t, proxy, withHosts(t, proxy, tenants, allowed, hosts))

	began := time.Now()
	var workers sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, tenant := range tenants {
		workers.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, r := range requests[tenant.Name] {
				want := tenant.AllowList().Decide(r.method, r.host, r.port)
				status, err := askFor(t.Context(), proxy, tenant, r.method, r.host, r.port)
				if err != nil {
					t.Errorf("%s: %+v: %v", tenant.Name, r, err)
				}
				if refused := status == http.StatusForbidden; refused != (want.Verdict == policy.VerdictDenied) {
					t.Errorf("%+v: %+v: status %d, want %s (%s)", tenant.Allow, r, status, want.Verdict, want.Rule)
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d requests in %s", tenantCount*each, time.Since(began).Round(time.Millisecond))

	next := map[string]int{}
	decisions := map[policy.Decision]int{}
	for _, record := range readAudit(t, proxy.AuditLog, tenantCount*each) {
		tenant := tenants[slices.IndexFunc(tenants, func(t v1alpha1.Tenant) bool { return t.Name == record.Tenant })]
		r := requests[tenant.Name][next[tenant.Name]]
		next[tenant.Name]++
		want := tenant.AllowList().Decide(r.method, r.host, r.port)
		if want.Rule == "" {
			want.Rule = "-"
		}
		got := policy.Decision{Verdict: record.Verdict, Rule: record.Rule}
		decisions[got]++
		if diff := cmp.Diff(want, got); diff != "" || !strings.EqualFold(record.Method, r.method) {
			t.Errorf("%+v: %+v: Allowed and Squid (-Allowed +Squid):\n%s%+v", tenant.Allow, r, diff, record)
		}
	}
	t.Logf("decisions: %v", decisions)
	for _, decision := range []policy.Decision{
		{Verdict: "allowed", Rule: "-"}, {Verdict: "denied", Rule: "protocol"}, {Verdict: "denied", Rule: "domain"}, {Verdict: "denied", Rule: "port"}, {Verdict: "denied", Rule: "forbidden-port"}, {Verdict: "denied", Rule: "forbidden-destination"}, {Verdict: "would-deny", Rule: "domain"}, {Verdict: "would-deny", Rule: "port"},
	} {
		if decisions[decision] < 50 {
			t.Errorf("%v came about %d times: too few for a test", decision, decisions[decision])
		}
	}
}

// askFor sends a request. It returns the status once Squid has closed the
// connection, and so has written the audit record. In a tunnel, the SNI is the
// host of the CONNECT.
func askFor(ctx context.Context, proxy Config, tenant v1alpha1.Tenant, method, host string, port uint16) (int, error) {
	connection, err := connectTo(ctx, proxy, tenant)
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	target := fmt.Sprintf("%s:%d", host, port)
	if method == http.MethodConnect {
		status, err := openTunnel(connection, target)
		if status == http.StatusOK {
			_ = tls.Client(connection, &tls.Config{ServerName: strings.Trim(host, "[]"), InsecureSkipVerify: true}).HandshakeContext(ctx)
		}
		_, _ = io.Copy(io.Discard, connection)
		return status, err
	}
	if _, err := fmt.Fprintf(connection, "%s http://%s/ HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", method, target, target); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: method})
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	_, _ = io.Copy(io.Discard, connection)
	return response.StatusCode, nil
}

// TestSquidAcceptsAccepted: Squid accepts every value that passes validation,
// including names at the limits of validity, and 10,000 domains of 50 tenants.
func TestSquidAcceptsAccepted(t *testing.T) {
	binary := squidBinary(t)
	label := strings.Repeat("a", 63)
	edges := []string{
		label + "." + label + "." + label + "." + strings.Repeat("b", 61), "." + label + ".c." + label, ".example.com", "example.com", "a.example.com", "none", "all", "0.example", "b--c.example",
		"bücher.example", "XN--BCHER-KVA.test", "n", "x-n", ".internal", "my_bucket.example", "_a.example",
	}
	tenants := []v1alpha1.Tenant{
		withAllow("edges", names.TenantPortMax, &v1alpha1.AllowSpec{Domains: edges, Ports: []int32{1, 65535}}),
	}
	for i := range int32(50) {
		allow := &v1alpha1.AllowSpec{Mode: []policy.Mode{policy.ModeEnforce, policy.ModeReport}[i%2]}
		for j := range 200 {
			allow.Domains = append(allow.Domains, fmt.Sprintf("%sh%d.customer-%d.example", []string{"", "."}[j%2], j, i))
		}
		tenants = append(tenants, withAllow(fmt.Sprintf("t%d", i), names.TenantPortMin+i, allow))
	}
	began := time.Now()
	file, err := Render(validProxy(), tenants)
	if err != nil {
		t.Fatal(err)
	}
	rendered := time.Since(began)
	name := filepath.Join(t.TempDir(), "squid.conf")
	if err := os.WriteFile(name, file, 0o644); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	parse(t, binary, name)
	t.Logf("%d bytes, rendered in %s, parsed in %s", len(file), rendered.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
}
