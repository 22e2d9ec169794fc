package recorder

import (
	"bufio"
	"net"
	"sync"
)

// handed is a listener whose connections the proxy accepted: after its answer to
// CONNECT it is the target itself, so that each connection to an origin's address
// is one without the proxy.
type handed struct {
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

func newHanded() *handed {
	return &handed{connections: make(chan net.Conn), closed: make(chan struct{})}
}

func (h *handed) Accept() (net.Conn, error) {
	select {
	case connection := <-h.connections:
		return connection, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handed) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handed) Addr() net.Addr { return &net.TCPAddr{} }

// give passes a connection on. The reader has the bytes that the proxy has read
// already.
func (h *handed) give(connection net.Conn, reader *bufio.Reader) {
	select {
	case h.connections <- &tunnel{connection, reader}:
	case <-h.closed:
		_ = connection.Close()
	}
}

// tunnel is a connection through the proxy.
type tunnel struct {
	net.Conn
	reader *bufio.Reader
}

func (t *tunnel) Read(buffer []byte) (int, error) { return t.reader.Read(buffer) }
