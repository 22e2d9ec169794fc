package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"egress.scw/bootstrap/config"
	"egress.scw/cloudinit"
	"egress.scw/cloudinit/squid"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/pki"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// TestProxyWithSidecars boots two machines that serve sidecars. They report their
// certificates. A request has the tenant of its certificate. The sidecars of pods go on
// with one machine while the other one has no power, and while certificates change.
func TestProxyWithSidecars(t *testing.T) {
	w := newWorld(t, imageOr(t, machine.DefaultImage()))
	w.servers = append(w.servers, secondServer())
	w.identity = cloudinit.IdentityOffered
	tenants := everyKind()
	secondVM := w.powerOn(t, w.servers[1], cloudinit.SourceFlexibleIP, tenants) // it boots meanwhile
	vm := w.boot(t, cloudinit.SourceFlexibleIP, tenants)
	keepAuditLog(t, vm)
	authority := newAuthority(t)
	s := &sidecars{w, w.servers[0], vm, tenants, authority, ""}

	w.checkServices(t, vm)
	checkRevisions(t, tenants)
	if !listens(t, vm, proxyAddress+":3443") {
		t.Log("closed without an authority")
	} else {
		t.Error("port 3443 is open without an authority")
	}
	s.publish(t, cloudinit.IdentityOffered)
	s.certificate = s.reported(t, nil).Certificate
	if !t.Run("tenants", s.checkTenants) || !t.Run("refused", s.checkRefused) || !t.Run("local users", s.checkLocalUsers) {
		t.FailNow()
	}
	w.wait(t, secondVM)
	keepAuditLog(t, secondVM)
	second := &sidecars{w, w.servers[1], secondVM, tenants, authority, ""}
	second.publish(t, cloudinit.IdentityOffered)
	second.certificate = second.reported(t, nil).Certificate
	if !t.Run("two machines", func(t *testing.T) { startFailover(t, s, second).check(t) }) {
		t.FailNow()
	}
	if !t.Run("alerts", s.checkAlerts) {
		t.FailNow()
	}
	t.Run("required", func(t *testing.T) {
		s.publish(t, cloudinit.IdentityRequired)
		for _, tenant := range tenants {
			if conn, err := dial(t.Context(), netnsNode, fmt.Sprintf("%s:%d", proxyAddress, tenant.Proxy.Port)); err == nil {
				conn.Close()
				t.Errorf("the port of %s is open", tenant.Name)
			}
		}
		s.checkTenants(t)
	})
}

// sidecars is a machine that serves sidecars, with its tenants and their authority.
type sidecars struct {
	*world
	*server
	vm          *machine.VM
	tenants     []v1alpha1.Tenant
	authority   *pki.Authority
	certificate string
}

// publish gives the machine a squid.conf with the authority, and waits until it reports
// that it serves it.
func (s *sidecars) publish(t *testing.T, identity cloudinit.Identity) {
	t.Helper()
	value := encoded(t, s.squidConf(t, config.ProxyMachine{SourceAddress: cloudinit.SourceFlexibleIP, Identity: identity, Authority: string(s.authority.Public)}, s.tenants))
	s.server.setSquidConf(value)
	start := time.Now()
	status := s.reported(t, func(status *cloudinit.Status) bool { return status.Served == cloudinit.Digest(value) })
	t.Logf("%s is reported as served after %s", identity, time.Since(start).Round(time.Second/10))
	for _, tenant := range s.tenants {
		if status.Revisions[tenant.Name] != tenant.Revision() {
			t.Errorf("%s: revision %q", tenant.Name, status.Revisions[tenant.Name])
		}
	}
}

// reported returns the status in the machine's user data, once it is as wanted.
func (s *server) reported(t *testing.T, wanted func(*cloudinit.Status) bool) *cloudinit.Status {
	t.Helper()
	var status *cloudinit.Status
	eventually(t, "the status of the machine", func() (err error) {
		status, err = cloudinit.ParseStatus(s.machine().UserData[cloudinit.UserDataStatus])
		if err == nil && wanted != nil && !wanted(status) {
			err = fmt.Errorf("it reports %+v", status)
		}
		return err
	})
	return status
}

// dial opens a connection of a sidecar from the node.
func (s *sidecars) dial(ctx context.Context, certificate *tls.Certificate, protocol string) (*tls.Conn, error) {
	conn, err := dialFor(ctx, time.Minute, netnsNode, fmt.Sprintf("%s:%d", s.private, names.SidecarPort)) // as reach
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.certificate))
	secured := tls.Client(conn.Conn, &tls.Config{
		RootCAs: roots, ServerName: s.private, MinVersion: tls.VersionTLS13, NextProtos: []string{protocol},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil },
	})
	return secured, secured.HandshakeContext(ctx)
}

// checkTenants sends a plain request and a tunnel of each tenant: both leave by its
// address, and are in the audit log with the pod.
func (s *sidecars) checkTenants(t *testing.T) {
	before := len(s.logged(t))
	for _, tenant := range s.tenants {
		certificate := certificateOf(t, s.authority, tenant.Name, time.Hour)
		conn, err := s.dial(t.Context(), certificate, "http/1.1")
		if err != nil {
			t.Fatal(err)
		}
		plain := &connection{conn, bufio.NewReader(conn)}
		got, err := plain.ask(http.MethodGet, "http://"+echoName+"/ip", echoName+"\r\n"+names.HeaderPod+": "+tenant.Name+"-pod")
		if err != nil || got.origin != s.addressOf(tenant) || got.revision != tenant.Revision() {
			t.Errorf("%s: %+v, %v, want %s", tenant.Name, got, err, s.addressOf(tenant))
		}
		conn.Close()
		if origin, err := s.throughStream(t, certificate, tenant.Name+"-pod"); err != nil || origin != s.addressOf(tenant) {
			t.Errorf("%s, by a tunnel: %q, %v, want %s", tenant.Name, origin, err, s.addressOf(tenant))
		}
	}
	eventually(t, "the lines of the audit log", func() error {
		lines := s.logged(t)[before:]
		if len(lines) != 2*len(s.tenants) {
			return fmt.Errorf("%d lines, want %d", len(lines), 2*len(s.tenants))
		}
		for _, line := range lines {
			if line.Identity != squid.IdentityCertificate || line.ClaimedPod != line.Tenant+"-pod" || line.Client != nodeAddress {
				return fmt.Errorf("%+v", line)
			}
		}
		return nil
	})
}

// logged are the lines of sidecars' requests for echoName in the audit log. The line of a
// tunnel for another host may come after its test.
func (s *sidecars) logged(t *testing.T) []squid.AuditRecord {
	t.Helper()
	return slices.DeleteFunc(auditLog(t, s.vm), func(record squid.AuditRecord) bool {
		return record.ClaimedPod == "-" || record.Host != echoName
	})
}

// throughStream returns the address from which a server sees a request in a tunnel,
// which is a stream of HTTP/2.
func (s *sidecars) throughStream(t *testing.T, certificate *tls.Certificate, pod string) (string, error) {
	t.Helper()
	transport := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return s.dial(ctx, certificate, "h2")
	}}
	defer transport.CloseIdleConnections()
	here, there := net.Pipe()
	defer here.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodConnect, fmt.Sprintf("https://%s:%d", s.private, names.SidecarPort), there)
	if err != nil {
		return "", err
	}
	request.Host = echoName + ":443"
	request.Header.Set(names.HeaderPod, pod)
	response, err := transport.RoundTrip(request) //nolint:bodyclose // it is closed below
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("CONNECT: %s", response.Status)
	}
	go func() { _, _ = io.Copy(there, response.Body) }()
	client := tls.Client(here, &tls.Config{RootCAs: s.roots, ServerName: echoName})
	inside := &connection{client, bufio.NewReader(client)}
	got, err := inside.ask(http.MethodGet, "/ip", echoName)
	return got.origin, err
}

// checkRefused tries certificates that prove no tenant of the machine. Each is counted,
// and Squid gets no request.
func (s *sidecars) checkRefused(t *testing.T) {
	before := markAuditLog(t, s.vm)
	for reason, certificate := range map[string]*tls.Certificate{
		"certificate-expired": certificateOf(t, s.authority, s.tenants[0].Name, -time.Minute),
		"unknown-authority":   certificateOf(t, newAuthority(t), s.tenants[0].Name, time.Hour),
		"no-certificate":      {},
		"unknown-tenant":      certificateOf(t, s.authority, "another", time.Hour),
	} {
		conn, err := s.dial(t.Context(), certificate, "http/1.1")
		if err != nil {
			t.Errorf("%s: %v, though TLS 1.3 refuses after the handshake", reason, err)
			continue
		}
		plain := &connection{conn, bufio.NewReader(conn)}
		got, err := plain.ask(http.MethodGet, "http://"+echoName+"/ip", echoName)
		if refused := err != nil; refused == (reason == "unknown-tenant") || got.status != 0 && got.status != http.StatusForbidden {
			t.Errorf("%s: %+v, %v", reason, got, err)
		}
		conn.Close()
		eventually(t, "the metric for "+reason, func() error {
			want := fmt.Sprintf("%s{reason=%q} 1\n", names.MetricSidecarRefused, reason)
			if text := s.exported(t, names.TenantMetricsPort); !strings.Contains(text, want) {
				return fmt.Errorf("no %q", want)
			}
			return nil
		})
	}
	if text := s.exported(t, names.MachineMetricsPort); !strings.Contains(text, names.MetricSidecarsServed+" 1\n") {
		t.Errorf("no %s 1", names.MetricSidecarsServed)
	}
	if reached := markAuditLog(t, s.vm) - before - 1; reached != 0 { // beside that of the mark
		t.Errorf("%d requests reached Squid", reached)
	}
}

// exported returns the metrics on a port of the machine.
func (s *sidecars) exported(t *testing.T, port int) string {
	t.Helper()
	conn, err := dial(t.Context(), netnsNode, fmt.Sprintf("%s:%d", s.private, port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /metrics HTTP/1.0\r\nHost: %s\r\n\r\n", s.private)
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkLocalUsers: other users of the machine than HAProxy's cannot connect to Squid's
// ports for sidecars, on which Squid trusts the client's address. The control: root can.
func (s *sidecars) checkLocalUsers(t *testing.T) {
	probe := fmt.Sprintf("exec 3<> /dev/tcp/127.0.0.1/%d", s.tenants[0].Proxy.Port)
	if _, err := s.vm.Exec(t.Context(), "bash", "-c", probe); err != nil {
		t.Errorf("root: %v", err)
	}
	if out, err := s.vm.Exec(t.Context(), "setpriv", "--reuid=nobody", "--clear-groups", "bash", "-c", probe); err == nil {
		t.Errorf("nobody can connect: %s", out)
	}
}

// newAuthority is an authority of the sidecars. All have the same name.
func newAuthority(t *testing.T) *pki.Authority {
	t.Helper()
	authority, err := pki.NewAuthority("sidecars")
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// certificateOf is a certificate of a tenant.
func certificateOf(t *testing.T, authority *pki.Authority, tenant string, validity time.Duration) *tls.Certificate {
	t.Helper()
	issued, err := authority.Issue(pki.Leaf{User: tenant, Group: names.CertificateOrganization, Validity: validity})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(issued.Public, issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}
