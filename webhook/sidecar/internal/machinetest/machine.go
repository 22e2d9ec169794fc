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
	"testing"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
)

// Targets of the machines that Start starts. Every other one is reached at the
// address of its name.
const (
	// DeniedTarget is not permitted.
	DeniedTarget = "denied.example:443"
	// UnservedTarget is answered as by HAProxy without Squid.
	UnservedTarget = "unserved.example:443"
	// ResetTarget resets its connections when it has sent some data.
	ResetTarget = "reset.example:443"
)

// ConnectHeader is in the answer to a tunnel.
const ConnectHeader = "X-Egress-Revision"

// Start starts a machine that accepts the authority's tenants, as HAProxy and Squid
// do. Header fields of a tunnel with a target that is an echo server come back in the
// answer.
func Start(t testing.TB, authority *Authority) (*httptest.Server, sidecar.Machine) {
	t.Helper()
	certificate, key := Machine(t)
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(serve))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool,
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.CloseClientConnections)
	return server, sidecar.Machine{Address: netip.MustParseAddrPort(server.Listener.Addr().String()), Certificate: string(certificate)}
}

func serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Claimed", r.Header.Get(names.HeaderNamespace)+"/"+r.Header.Get(names.HeaderPod))
	w.Header().Set("X-Protocol", r.Proto)
	w.Header().Set(ConnectHeader, "0123456789abcdef")
	switch {
	case r.Host == UnservedTarget:
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.Host == DeniedTarget || r.Host == "denied.example":
		w.Header().Set("X-Squid-Error", "ERR_ACCESS_DENIED 0")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, "denied")
	case r.Method != http.MethodConnect:
		w.Header().Set("X-Url", r.RequestURI)
		w.Header().Set("X-Forwarded", r.Header.Get("X-Forwarded-For"))
		_, _ = io.Copy(w, r.Body)
	default:
		tunnel(w, r)
	}
}

func tunnel(w http.ResponseWriter, r *http.Request) {
	if r.Host == ResetTarget {
		fmt.Fprint(w, "some data")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	target, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Host)
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

// Restart serves at the address of a machine that was stopped.
func Restart(t testing.TB, stopped *httptest.Server, address string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(stopped.Config.Handler)
	_ = server.Listener.Close()
	server.Listener = listener
	server.EnableHTTP2 = true
	server.TLS = stopped.TLS.Clone()
	server.Config.ErrorLog = stopped.Config.ErrorLog
	server.StartTLS()
	t.Cleanup(server.CloseClientConnections)
}
