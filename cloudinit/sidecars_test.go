package cloudinit

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// TestSidecarsReachTheirTenant: the certificate alone selects the tenant, to whose port
// the request goes with the address of its client. Tunnels are streams of HTTP/2; plain
// HTTP, and WebSocket by it, are requests of HTTP/1.1 with the whole URL.
func TestSidecarsReachTheirTenant(t *testing.T) {
	m := newSidecarMachine(t)
	m.serve(sidecarTenant("client-a", 3129), sidecarTenant("client-b", 3130))
	requests := map[string]<-chan proxied{"client-a": m.listenAsSquid(3129), "client-b": m.listenAsSquid(3130)}
	m.start()
	for tenant, port := range map[string]string{"client-a": "3129", "client-b": "3130"} {
		certificate := m.authority.sign(tenant, time.Hour)
		check := func(method, uri string) {
			t.Helper()
			got := <-requests[tenant]
			if got.method != method || got.uri != uri || got.tenant != tenant || !strings.HasPrefix(got.client, "127.0.0.1:") || got.destination != m.squid.String()+":"+port {
				t.Errorf("Squid gets %+v, want %s %s of %s", got, method, uri, tenant)
			}
			if got.header.Get("X-Forwarded-For") != "" || len(got.header.Values(names.HeaderTenant)) != 1 {
				t.Errorf("headers %v", got.header)
			}
		}

		transport := m.client(certificate, "h2")
		repeat, status, _, err := m.tunnel(transport, "a.example:443")
		if err != nil || status != http.StatusOK {
			t.Fatalf("tunnel: status %d, %v", status, err)
		}
		check(http.MethodConnect, "a.example:443")
		if err := repeat("in the tunnel"); err != nil {
			t.Errorf("tunnel: %v", err)
		}
		if got := m.get(transport, "https://"+m.address()+"/"); got != "400 http2" {
			t.Errorf("plain HTTP by HTTP/2: %s", got)
		}

		transport = m.client(certificate, "http/1.1")
		for _, target := range []string{"http://a.example/b?c=d", "http://a.example:443/", "http://a.example:8080/"} {
			if got := m.get(transport, target); got != "403 revision a1" {
				t.Errorf("%s: %s", target, got)
			}
			check(http.MethodGet, target)
		}
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://a.example/socket", nil)
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
			request.Header.Set(name, value)
		}
		response, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatalf("WebSocket: %v", err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("WebSocket: %v", response)
		}
		check(http.MethodGet, "http://a.example/socket")
		socket := response.Body.(io.ReadWriteCloser)
		fmt.Fprintln(socket, "in the socket")
		if answer, err := bufio.NewReader(socket).ReadString('\n'); err != nil || answer != "in the socket\n" {
			t.Errorf("WebSocket: %q, %v", answer, err)
		}
		socket.Close()
	}
	m.logged(2, `.+`)
	if lines := strings.TrimSpace(m.read(sidecarLog)); strings.Count(lines, "\n") != 1 || strings.Contains(lines, "example") {
		t.Errorf("the log contains more than the two refused requests:\n%s", lines)
	}
}

// get returns the status of a request, with the reason of HAProxy or the revision.
func (m *sidecarMachine) get(transport *http.Transport, target string) string {
	m.t.Helper()
	request, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, target, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	request.Header.Set(names.HeaderTenant, "client-z")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	if revision := response.Header.Get(names.HeaderRevision); revision != "" {
		return fmt.Sprint(response.StatusCode, " revision ", revision)
	}
	return fmt.Sprint(response.StatusCode, " ", response.Header.Get("X-Egress-Reason"))
}

// TestForeignCertificates: a certificate that has expired, also during the connection,
// of another authority, of an unknown tenant, or none: each is refused and counted.
func TestForeignCertificates(t *testing.T) {
	m := newSidecarMachine(t)
	m.serve(sidecarTenant("client-a", 3129))
	requests := m.listenAsSquid(3129)
	m.start()

	for name, certificate := range map[string]*tls.Certificate{
		"expired":              m.authority.sign("client-a", -time.Minute),
		"of another authority": newTestAuthority(t).sign("client-a", time.Hour),
		"none":                 nil,
	} {
		if _, status, _, err := m.tunnel(m.client(certificate, "h2"), "a.example:443"); err == nil {
			t.Errorf("%s: status %d", name, status)
		}
	}
	if _, status, reason, err := m.tunnel(m.client(m.authority.sign("client-c", time.Hour), "h2"), "a.example:443"); status != http.StatusForbidden || reason != "unknown-tenant" {
		t.Errorf("unknown tenant: status %d, reason %q, %v", status, reason, err)
	}

	const validity = 12 * time.Second // within which a busy machine, too, opens the tunnel
	signed := time.Now()
	transport := m.client(m.authority.sign("client-a", validity), "h2")
	repeat, status, _, err := m.tunnel(transport, "a.example:443")
	if err != nil || status != http.StatusOK {
		t.Fatalf("before it expires: status %d, %v", status, err)
	}
	<-requests
	time.Sleep(time.Until(signed.Add(validity + 2*time.Second)))
	if _, status, reason, err := m.tunnel(transport, "a.example:443"); status != http.StatusForbidden || reason != "certificate-expired" {
		t.Errorf("after it has expired: status %d, reason %q, %v", status, reason, err)
	}
	if err := repeat("goes on"); err != nil {
		t.Errorf("the tunnel of before: %v", err)
	}
	if len(requests) > 0 {
		t.Errorf("Squid gets %+v", <-requests)
	}

	m.logged(5, `refused client=127\.0\.0\.1 reason=.*`)
	want := []string{
		names.MetricSidecarRefused + `{reason="certificate-expired"} 2`,
		names.MetricSidecarRefused + `{reason="no-certificate"} 1`,
		names.MetricSidecarRefused + `{reason="unknown-authority"} 1`,
		names.MetricSidecarRefused + `{reason="unknown-tenant"} 1`,
	}
	got := slices.DeleteFunc(metricsOf(t, m.machine, strings.Split(strings.TrimSpace(m.read(sidecarLog)), "\n")), func(line string) bool {
		return strings.HasPrefix(line, names.MetricUnreadableLines)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics, -want +got:\n%s\n%s", diff, m.read(sidecarLog))
	}
}

// TestTenantsChangeUnderTunnels: HAProxy serves new tenants, and a new authority, and
// keeps the tunnels of before.
func TestTenantsChangeUnderTunnels(t *testing.T) {
	m := newSidecarMachine(t)
	m.serve(sidecarTenant("client-a", 3129))
	m.listenAsSquid(3129)
	added := m.listenAsSquid(3130)
	reload := m.start()
	transport := m.client(m.authority.sign("client-a", time.Hour), "h2")
	repeat, _, _, err := m.tunnel(transport, "a.example:443")
	if err != nil {
		t.Fatal(err)
	}

	former := m.authority
	m.authority = newTestAuthority(t)
	m.machine.Authority = former.pem + m.authority.pem
	if output := m.serve(sidecarTenant("client-a", 3129), sidecarTenant("client-b", 3130)); !strings.Contains(output, "HAProxy serves the sidecars of this squid.conf") {
		t.Errorf("it prints %q", output)
	}
	reload()
	m.await("the new tenant is served", func() bool {
		_, status, _, err := m.tunnel(m.client(m.authority.sign("client-b", time.Hour), "h2"), "b.example:443")
		return err == nil && status == http.StatusOK
	})
	if got := <-added; got.tenant != "client-b" {
		t.Errorf("Squid gets %+v", got)
	}
	if err := repeat("goes on"); err != nil {
		t.Errorf("the tunnel of before: %v", err)
	}
	// Go's client cannot repeat a request that crosses the announcement of the former process
	// that it takes no further ones.
	m.await("a tunnel after the reload", func() bool {
		_, status, _, err := m.tunnel(transport, "a.example:443")
		return err == nil && status == http.StatusOK
	})
}

// TestHAProxyFollows: HAProxy is loaded once for each change. A file that it does not
// accept is reported once, and the old one stays. Without an authority it stops.
func TestHAProxyFollows(t *testing.T) {
	haproxyBinary(t)
	m := newSidecarMachine(t)
	tenant, base := sidecarTenant("client-a", 3129), m.read("/etc/egress/haproxy.base.cfg")
	loads := func() (calls []string) {
		for _, call := range m.calls() {
			if strings.HasPrefix(call, "systemctl reload ") || strings.HasPrefix(call, "systemctl stop ") {
				calls = append(calls, call)
			}
		}
		m.write("calls", "")
		return calls
	}
	steps := []struct {
		name   string
		change func()
		prints string
		loads  []string
		served string
	}{
		{"first", func() {}, "HAProxy serves the sidecars of this squid.conf", []string{"systemctl reload haproxy.service"}, "1"},
		{"nothing new", func() {}, "", nil, "1"},
		{"a changed list", func() { tenant.Allow = &v1alpha1.AllowSpec{Domains: []string{"a.example"}} }, "", nil, "1"},
		{"HAProxy does not load", func() {
			m.program("systemctl", `[ "$1" != reload ] || { echo "Job for haproxy.service failed"; exit 1; }`)
			m.machine.Authority = newTestAuthority(t).pem
		}, "HAProxy does not load its files: Job for haproxy.service failed", []string{"systemctl reload haproxy.service"}, "0"},
		{"still not", func() {}, "", []string{"systemctl reload haproxy.service"}, "0"},
		{"it does", func() { m.program("systemctl") }, "HAProxy serves the sidecars of this squid.conf", []string{"systemctl reload haproxy.service"}, "1"},
		{"a wrong file", func() { m.write("/etc/egress/haproxy.base.cfg", "nonsense\n") }, "HAProxy keeps its old files: haproxy -c: exit status 1", nil, "0"},
		{"still wrong", func() {}, "", nil, "0"},
		{"the right file again", func() { m.write("/etc/egress/haproxy.base.cfg", base) }, "", nil, "1"},
		{"another wrong file", func() { m.write("/etc/egress/haproxy.base.cfg", "nonsense\n") }, "HAProxy keeps its old files: haproxy -c: exit status 1", nil, "0"},
		{"no authority", func() { m.machine.Authority = "" }, "the authority of sidecars is not known any more", []string{"systemctl stop haproxy.service"}, "0"},
	}
	for _, step := range steps {
		step.change()
		output := m.serve(tenant)
		if step.prints == "" && output != "" || !strings.Contains(output, step.prints) {
			t.Errorf("%s: it prints %q, want %q", step.name, output, step.prints)
		}
		if diff := cmp.Diff(step.loads, loads()); diff != "" {
			t.Errorf("%s: loads, -want +got:\n%s", step.name, diff)
		}
		if want := names.MetricSidecarsServed + " " + step.served + "\n"; !strings.HasSuffix(m.read(metricsFolder+"/sidecars.prom"), want) {
			t.Errorf("%s: no %q in the metrics", step.name, want)
		}
	}
}

// TestClosedPortStaysClosed: without an authority, HAProxy is stopped and masked once.
// egress-sidecars runs every ten seconds, and each mask makes systemd read all units.
func TestClosedPortStaysClosed(t *testing.T) {
	for _, test := range []struct {
		name, enabled, active string
		want                  bool // HAProxy is stopped and masked
	}{
		{"masked", "masked", "exit 3", false},
		{"masked, and still running", "masked", "exit 0", true},
		{"enabled", "enabled", "exit 3", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newSidecarMachine(t)
			m.machine.Authority = ""
			m.serve()
			m.write("calls", "")
			m.program("systemctl", `[ "$1" != is-enabled ] || echo `+test.enabled, `[ "$2" != is-active ] || `+test.active)
			m.serve()
			calls := m.calls()
			stopped := slices.Contains(calls, "systemctl stop haproxy.service") && slices.Contains(calls, "systemctl mask haproxy.service")
			if stopped != test.want {
				t.Errorf("stopped: %v, want %v; calls:\n%s", stopped, test.want, strings.Join(calls, "\n"))
			}
		})
	}
}

// TestKeyOfTheMachine: the key is created once, is readable to root alone, and is not
// in the status.
func TestKeyOfTheMachine(t *testing.T) {
	m := newSidecarMachine(t)
	m.machine.Authority = ""
	m.serve()
	before := m.read(sidecarCertificate)
	m.serve()
	if m.read(sidecarCertificate) != before || !strings.Contains(before, "PRIVATE KEY") {
		t.Error("the key changes")
	}
	if info, err := os.Stat(m.path(sidecarCertificate)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	m.run("egress-status")
	if strings.Contains(m.read("sent"), "KEY") {
		t.Error("the key is in the status")
	}
}
