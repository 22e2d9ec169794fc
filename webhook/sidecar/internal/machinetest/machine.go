package machinetest

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
)

// Targets of the machines that Start starts. Every other one is reached at the
// address of Reach, or else at that of its name.
const (
	// DeniedTarget is not permitted. Its host is not permitted for plain HTTP either.
	DeniedTarget = deniedHost + ":443"
	deniedHost   = "denied.example"
	// UnservedTarget is answered as by HAProxy without Squid, and its host for plain HTTP
	// too.
	UnservedTarget = unservedHost + ":443"
	unservedHost   = "unserved.example"
	// ResetTarget resets its connections when it has sent some data.
	ResetTarget = "reset.example:443"
	// SlowTarget is not reached while the client waits. For plain HTTP, the answer of
	// SlowHost ends with Finish.
	SlowTarget = SlowHost + ":443"
	SlowHost   = "slow.example"
)

// Machine is a running proxy machine.
type Machine struct {
	*httptest.Server
	// Requests is the number of requests that it has got.
	Requests atomic.Int64
	// WithoutSquid makes its answers those of HAProxy without Squid.
	WithoutSquid atomic.Bool

	finish      chan struct{}
	certificate atomic.Pointer[tls.Certificate]
	targets     sync.Map // addresses by host:port
}

// Start starts a machine that accepts the authority's tenants, as HAProxy and Squid
// do. Header fields of a tunnel with a target that is an echo server come back in the
// answer.
func Start(t testing.TB, authority *Authority) (*Machine, sidecar.Machine) {
	t.Helper()
	m := &Machine{finish: make(chan struct{})}
	certificate, use := m.NewCertificate(t)
	use()
	m.serveOn(listenAlone(t))
	m.start(t, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
		Certificates:       []tls.Certificate{*m.certificate.Load()}, // else the server takes one of its own
		GetConfigForClient: m.configFor,
		ClientAuth:         tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool,
	})
	return m, sidecar.Machine{Address: netip.MustParseAddrPort(m.Listener.Addr().String()), Certificate: certificate}
}

func (m *Machine) serveOn(listener net.Listener) {
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(m.serve))
	_ = m.Listener.Close() // of the port that httptest has chosen
	m.Listener = listener
}

func (m *Machine) start(t testing.TB, config *tls.Config) {
	m.EnableHTTP2 = true
	m.TLS = config
	m.Config.ErrorLog = log.New(io.Discard, "", 0)
	m.StartTLS()
	t.Cleanup(m.CloseClientConnections)
}

// NewCertificate makes another certificate of the machine, and returns it in PEM. The
// machine has it on further connections from the call of use on.
func (m *Machine) NewCertificate(t testing.TB) (certificate string, use func()) {
	t.Helper()
	encoded, key := MachineCertificate(t)
	pair, err := tls.X509KeyPair(encoded, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded), func() { m.certificate.Store(&pair) }
}

func (m *Machine) configFor(*tls.ClientHelloInfo) (*tls.Config, error) {
	config := m.TLS.Clone()
	config.GetConfigForClient = nil
	config.Certificates = []tls.Certificate{*m.certificate.Load()}
	return config, nil
}

// Reach makes a target, host:port, reachable at an address.
func (m *Machine) Reach(target, address string) { m.targets.Store(target, address) }

// Restart serves at the address of the machine, which was stopped.
func (m *Machine) Restart(t testing.TB) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", m.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	former := m.TLS
	m.serveOn(listener)
	m.start(t, former.Clone())
}

// Finish ends the answers of SlowHost. It is called once.
func (m *Machine) Finish() { close(m.finish) }

// AwaitRequest returns when the machine has got a request.
func (m *Machine) AwaitRequest(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(time.Minute); m.Requests.Load() == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the machine got no request")
		}
	}
}

func (m *Machine) serve(w http.ResponseWriter, r *http.Request) {
	m.Requests.Add(1)
	if r.Host == UnservedTarget || r.Host == unservedHost || m.WithoutSquid.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("X-Claimed", r.Header.Get(names.HeaderNamespace)+"/"+r.Header.Get(names.HeaderPod))
	w.Header().Set("X-Protocol", r.Proto)
	w.Header().Set("X-Tenant", r.TLS.PeerCertificates[0].Subject.CommonName)
	w.Header().Set(names.HeaderRevision, "0123456789abcdef")
	switch {
	case r.Host == DeniedTarget || r.Host == deniedHost:
		w.Header().Set("X-Squid-Error", "ERR_ACCESS_DENIED 0")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "denied")
	case r.Host == SlowHost:
		_ = http.NewResponseController(w).Flush()
		select {
		case <-m.finish:
		case <-r.Context().Done():
		}
	case r.Method != http.MethodConnect:
		w.Header().Set("X-Url", r.RequestURI)
		w.Header().Set("X-Forwarded", r.Header.Get("X-Forwarded-For"))
		_, _ = io.Copy(w, r.Body)
	default:
		m.tunnel(w, r)
	}
}

func (m *Machine) tunnel(w http.ResponseWriter, r *http.Request) {
	if r.Host == ResetTarget {
		fmt.Fprint(w, "some data")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if r.Host == SlowTarget {
		<-r.Context().Done()
		return
	}
	address := r.Host
	if known, ok := m.targets.Load(r.Host); ok {
		address = known.(string)
	}
	target, err := new(net.Dialer).DialContext(r.Context(), "tcp", address)
	if err != nil {
		w.Header().Set("X-Squid-Error", "ERR_CONNECT_FAIL 111")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	defer func() { _ = target.Close() }()
	controller := http.NewResponseController(w)
	_ = controller.Flush()
	go func() {
		_, _ = io.Copy(target, r.Body)
		_ = target.(*net.TCPConn).CloseWrite()
	}()
	buffer := make([]byte, 32<<10)
	for {
		n, err := target.Read(buffer)
		_, _ = w.Write(buffer[:n])
		_ = controller.Flush()
		if err != nil {
			return
		}
	}
}

// Target listens, and serves each connection by a function. It returns the address.
func Target(t testing.TB, serve func(*net.TCPConn)) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = connection.Close() }()
				serve(connection.(*net.TCPConn))
			}()
		}
	}()
	return listener.Addr().String()
}

// Echo is a target that sends back everything that it receives.
func Echo(connection *net.TCPConn) { _, _ = io.Copy(connection, connection) }
