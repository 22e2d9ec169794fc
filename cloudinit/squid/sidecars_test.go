package squid

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// sidecarProxy is a proxy that serves sidecars, on a loopback address of its own.
func sidecarProxy(t *testing.T) Config {
	t.Helper()
	proxy := liveProxy(t)
	bytes := proxy.ListenAddress.As4()
	proxy.SidecarAddress = netip.AddrFrom4([4]byte{127, 76, bytes[2], bytes[3]})
	return proxy
}

func sidecarTenants() []v1alpha1.Tenant {
	domains := []string{"listed.test"}
	return []v1alpha1.Tenant{
		withAllow("enforce", 3129, &v1alpha1.AllowSpec{Domains: domains}),
		withAllow("report", 3130, &v1alpha1.AllowSpec{Mode: policy.ModeReport}),
		newTenant("open", 3131),
	}
}

// throughSidecar opens a connection to a tenant's port for sidecars, as HAProxy does:
// with the address of the client in the PROXY protocol.
func throughSidecar(t *testing.T, proxy Config, tenant v1alpha1.Tenant) net.Conn {
	t.Helper()
	to := netip.AddrPortFrom(proxy.SidecarAddress, uint16(tenant.Proxy.Port))
	dialer := net.Dialer{Timeout: 30 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	connection, err := dialer.DialContext(t.Context(), "tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if err := connection.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(connection, "PROXY TCP4 %s %s 40000 %d\r\n", proxy.ListenAddress, to.Addr(), to.Port())
	return connection
}

func claims(tenant string) string {
	return names.HeaderTenant + ": " + tenant + "\r\n" + names.HeaderNamespace + ": team\r\n" + names.HeaderPod + ": web-\"0\r\n"
}

// TestSidecars: a request of a sidecar is judged and logged as the tenant's, with the
// pod that the sidecar claims. Without the tenant's name from HAProxy it is denied: on
// a port that passed to another tenant, HAProxy may still send the former one's.
func TestSidecars(t *testing.T) {
	proxy, tenants := sidecarProxy(t), sidecarTenants()
	startRendered(t, proxy, tenants)

	type line struct {
		tenant, port, client, method, identity, namespace, pod string
		verdict                                                policy.Verdict
		rule                                                   policy.Rule
	}
	var want []line
	for _, tenant := range tenants {
		port := fmt.Sprint(tenant.Proxy.Port)
		for _, request := range []struct{ method, target string }{
			{http.MethodGet, "http://10.0.0.1/"}, {http.MethodConnect, "10.0.0.1:443"},
		} {
			for _, header := range []string{claims(tenant.Name), claims("another"), ""} {
				connection := throughSidecar(t, proxy, tenant)
				fmt.Fprintf(connection, "%s %s HTTP/1.1\r\nHost: 10.0.0.1\r\n%sConnection: close\r\n\r\n", request.method, request.target, header)
				answer, err := io.ReadAll(connection)
				if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 403 ") {
					t.Errorf("%s, %s, %q: %.40q, %v", tenant.Name, request.method, header, answer, err)
				}
				l := line{tenant.Name, port, proxy.ListenAddress.String(), request.method, "-", "-", "-", policy.VerdictDenied, policy.RuleClient}
				if header == claims(tenant.Name) {
					l.identity, l.namespace, l.pod, l.rule = IdentityCertificate, "team", "web-%220", policy.RuleForbiddenDestination
				}
				want = append(want, l)
			}
		}
	}
	var got []line
	for _, r := range readAudit(t, proxy.AuditLog, len(want)) {
		got = append(got, line{r.Tenant, r.Port, r.Client, r.Method, r.Identity, r.ClaimedNamespace, r.ClaimedPod, r.Verdict, r.Rule})
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(line{})); diff != "" {
		t.Errorf("audit log, -want +got:\n%s", diff)
	}
}

// TestClaimsOfTunnels: the line of a tunnel that Squid has inspected, which has no
// headers, has the claims as well.
func TestClaimsOfTunnels(t *testing.T) {
	proxy, tenants := sidecarProxy(t), sidecarTenants()
	startRendered(t, proxy, tenants)
	connection := throughSidecar(t, proxy, tenants[1])
	fmt.Fprintf(connection, "CONNECT %s:443 HTTP/1.1\r\nHost: %s\r\n%s\r\n", allowed, allowed, claims(tenants[1].Name))
	answer := make([]byte, len("HTTP/1.1 200 "))
	if _, err := io.ReadFull(connection, answer); err != nil || string(answer) != "HTTP/1.1 200 " {
		t.Fatalf("%q, %v", answer, err)
	}
	inside := tls.Client(&afterHeader{Conn: connection}, &tls.Config{ServerName: "listed.test", MinVersion: tls.VersionTLS12})
	if err := inside.HandshakeContext(t.Context()); err == nil {
		t.Error("there is a server at an address for documentation")
	}
	record := readAudit(t, proxy.AuditLog, 1)[0]
	if record.SNI != "listed.test" || record.Identity != IdentityCertificate || record.ClaimedNamespace != "team" || record.ClaimedPod != "web-%220" {
		t.Errorf("%+v", record)
	}
}

// afterHeader is a connection whose first bytes, up to the end of the header, are
// skipped.
type afterHeader struct {
	net.Conn
	skipped bool
}

func (c *afterHeader) Read(p []byte) (int, error) {
	for end := ""; !c.skipped; {
		var next [1]byte
		if _, err := c.Conn.Read(next[:]); err != nil {
			return 0, err
		}
		end += string(next[:])
		c.skipped = strings.HasSuffix(end, "\r\n\r\n")
	}
	return c.Conn.Read(p)
}

// TestPodsCannotClaim: on a port for pods the headers of sidecars have no meaning.
// Origins see them from neither port, and a connection to a port for sidecars without
// the PROXY protocol, or from another address than HAProxy's, is closed.
func TestPodsCannotClaim(t *testing.T) {
	proxy, tenants := sidecarProxy(t), sidecarTenants()[2:]
	file, err := Render(proxy, tenants)
	if err != nil {
		t.Fatal(err)
	}
	var seen http.Header
	origin := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header }))
	t.Cleanup(origin.Close)
	startOriginAndFile(t, proxy, file)
	request := fmt.Sprintf("GET %s/ HTTP/1.1\r\nHost: origin.test\r\n%sX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n", origin.URL, claims(tenants[0].Name))

	plain, err := connectTo(t.Context(), proxy, tenants[0])
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	for _, connection := range []net.Conn{plain, throughSidecar(t, proxy, tenants[0])} {
		if _, err := io.WriteString(connection, request); err != nil {
			t.Error(err)
		}
		answer, err := io.ReadAll(connection)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
			t.Errorf("%.40q, %v", answer, err)
		}
		for _, name := range []string{names.HeaderTenant, names.HeaderNamespace, names.HeaderPod, "X-Forwarded-For"} {
			if value := seen.Values(name); len(value) > 0 {
				t.Errorf("the origin gets %s: %q", name, value)
			}
		}
	}
	records := readAudit(t, proxy.AuditLog, 2)
	if r := records[0]; r.Identity != IdentityPort || r.ClaimedNamespace != "-" || r.ClaimedPod != "-" {
		t.Errorf("by the port: %+v", r)
	}
	if r := records[1]; r.Identity != IdentityCertificate || r.ClaimedPod != "web-%220" {
		t.Errorf("by the certificate: %+v", r)
	}

	to := netip.AddrPortFrom(proxy.SidecarAddress, uint16(tenants[0].Proxy.Port))
	header := fmt.Sprintf("PROXY TCP4 %s %s 40000 %d\r\n", proxy.ListenAddress, to.Addr(), to.Port())
	for name, attempt := range map[string]struct{ from, data string }{
		"without the PROXY protocol": {"127.0.0.1", request},
		"from another address":       {"127.0.0.2", header + request},
	} {
		dialer := net.Dialer{Timeout: 30 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(attempt.from)}}
		connection, err := dialer.DialContext(t.Context(), "tcp", to.String())
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		_ = connection.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(connection, attempt.data) // Squid may have closed it already
		if answer, _ := io.ReadAll(connection); len(answer) > 0 {
			t.Errorf("%s: %.60q", name, answer)
		}
	}
}

// TestSidecarsOnly: without ports for pods, Squid does not listen on the address of
// the Private Network.
func TestSidecarsOnly(t *testing.T) {
	proxy, tenants := sidecarProxy(t), sidecarTenants()[2:]
	proxy.SidecarsOnly = true
	startRendered(t, proxy, tenants)
	if connection, err := connectTo(t.Context(), proxy, tenants[0]); err == nil {
		connection.Close()
		t.Error("the port for pods is open")
	}
	connection := throughSidecar(t, proxy, tenants[0])
	fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: 0.0.0.0\r\n%sConnection: close\r\n\r\n", names.ProbeURL, claims(tenants[0].Name))
	answer, err := io.ReadAll(connection)
	if want := names.HeaderRevision + ": " + tenants[0].Revision() + "\r\n"; err != nil || !strings.Contains(string(answer), want) {
		t.Errorf("no %q in %q, %v", want, answer, err)
	}
}

func TestRenderRefusesSidecars(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	many := everyPort()[:MaxTenantsOfTwoPorts+1]
	for name, test := range map[string]struct {
		change  func(*Config)
		tenants []v1alpha1.Tenant
		want    string
	}{
		"another machine's address":  {func(c *Config) { c.SidecarAddress = netip.MustParseAddr("172.16.28.9") }, nil, "proxy.sidecarAddress: Invalid value: \"172.16.28.9\": must be an IPv4 address of loopback"},
		"the address of pods":        {func(c *Config) { c.SidecarAddress, c.ListenAddress = loopback, loopback }, nil, "must not be listenAddress"},
		"no clients":                 {func(c *Config) { c.SidecarsOnly = true }, nil, "proxy.sidecarAddress: Required"},
		"authorities for no purpose": {func(c *Config) { c.Authorities = [][]byte{{1}} }, nil, "proxy.authorities: Forbidden"},
		"too many ports":             {func(c *Config) { c.SidecarAddress = loopback }, many, "64 tenants with two ports each are more than the 63 that Squid can listen for"},
		"as many as fit":             {func(c *Config) { c.SidecarAddress = loopback }, many[:MaxTenantsOfTwoPorts], ""},
		"more of one port":           {func(c *Config) { c.SidecarAddress, c.SidecarsOnly = loopback, true }, everyPort(), ""},
	} {
		proxy := validProxy()
		test.change(&proxy)
		_, err := Render(proxy, test.tenants)
		if message := fmt.Sprint(err); test.want == "" && err != nil || !strings.Contains(message, test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
