package cloudinit

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"egress.scw/webhook/api/names"
)

// proxied is a request as Squid receives it.
type proxied struct {
	method, uri, tenant, client, destination string
	header                                   http.Header
}

// listenAsSquid imitates Squid on a tenant's port for sidecars. It repeats what a tunnel
// or a WebSocket carries.
func (m *sidecarMachine) listenAsSquid(port uint16) <-chan proxied {
	m.t.Helper()
	listener, err := new(net.ListenConfig).Listen(m.t.Context(), "tcp", netip.AddrPortFrom(m.squid, port).String())
	if err != nil {
		m.t.Fatal(err)
	}
	requests := make(chan proxied, 100)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- proxied{
			r.Method, r.RequestURI, r.Header.Get(names.HeaderTenant), r.RemoteAddr, r.Context().Value(http.LocalAddrContextKey).(net.Addr).String(), r.Header,
		}
		upgrade := r.Header.Get("Upgrade") != ""
		if r.Method != http.MethodConnect && !upgrade {
			w.Header().Set(names.HeaderRevision, "a1")
			w.WriteHeader(http.StatusForbidden)
			return
		}
		connection, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer connection.Close()
		answer := "HTTP/1.1 200 Connection established\r\n\r\n"
		if upgrade {
			answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
		}
		_, _ = io.WriteString(connection, answer)
		_, _ = io.Copy(connection, buffered)
	})}
	go func() { _ = server.Serve(proxyProtocol{listener}) }()
	m.t.Cleanup(func() { _ = server.Close() })
	return requests
}

// proxyProtocol is a listener whose connections begin with a header of the PROXY
// protocol, version 2, for TCP over IPv4.
type proxyProtocol struct{ net.Listener }

func (l proxyProtocol) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &proxiedConn{Conn: connection}, nil
}

type proxiedConn struct {
	net.Conn
	once        sync.Once
	from, to    net.Addr
	headerError error
}

func (c *proxiedConn) readHeader() {
	c.once.Do(func() {
		var fixed [16]byte
		if _, c.headerError = io.ReadFull(c.Conn, fixed[:]); c.headerError != nil {
			return
		}
		size := binary.BigEndian.Uint16(fixed[14:])
		if string(fixed[:14]) != "\r\n\r\n\x00\r\nQUIT\n\x21\x11" || size < 12 {
			c.headerError = fmt.Errorf("no header of the PROXY protocol: %q", fixed)
			return
		}
		// The addresses, and fields such as the protocol of the client's connection.
		header := make([]byte, size)
		if _, c.headerError = io.ReadFull(c.Conn, header); c.headerError != nil {
			return
		}
		at := func(address, port int) net.Addr {
			return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte(header[address:address+4])), binary.BigEndian.Uint16(header[port:])))
		}
		c.from, c.to = at(0, 8), at(4, 10)
	})
}

func (c *proxiedConn) Read(p []byte) (int, error) {
	if c.readHeader(); c.headerError != nil {
		return 0, c.headerError
	}
	return c.Conn.Read(p)
}

func (c *proxiedConn) RemoteAddr() net.Addr {
	if c.readHeader(); c.from == nil {
		return c.Conn.RemoteAddr()
	}
	return c.from
}

func (c *proxiedConn) LocalAddr() net.Addr {
	if c.readHeader(); c.to == nil {
		return c.Conn.LocalAddr()
	}
	return c.to
}
