package endpoint

import (
	"net"
	"sync"
	"time"
)

// writeBuffer bounds the part of an answer that the kernel keeps for a client that
// does not read it. It is charged to the memory of the pod.
const writeBuffer = 64 << 10

// listener bounds the number of connections that are open at a time.
type listener struct {
	net.Listener
	most int

	lock sync.Mutex
	open map[*connection]struct{}
}

func newListener(from net.Listener, most int) *listener {
	return &listener{Listener: from, most: most, open: make(map[*connection]struct{})}
}

// Accept returns the next connection. At the bound, another one is closed for it.
// If all of them are being answered, the new one is closed.
func (l *listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // net/http knows the errors of listeners
		}
		c := &connection{Conn: accepted, listener: l, client: hostOf(accepted), waitsSince: time.Now()}
		if tcp, ok := accepted.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(writeBuffer) // else the kernel's own bound holds
		}
		surplus := l.add(c)
		if surplus != nil {
			_ = surplus.Conn.Close() // its client is not waited for
		}
		if surplus != c {
			return c, nil
		}
	}
}

// add adds a connection, and returns the one that has to be closed, if any.
func (l *listener) add(c *connection) *connection {
	l.lock.Lock()
	defer l.lock.Unlock()
	l.open[c] = struct{}{}
	if len(l.open) <= l.most {
		return nil
	}
	surplus := l.surplus()
	if surplus == nil {
		surplus = c
	}
	delete(l.open, surplus)
	return surplus
}

// surplus returns the connection that has waited longest for its client, among
// those of the client address with the most of them. It returns nil if every
// connection is being answered.
func (l *listener) surplus() *connection {
	waiting := make(map[string]int)
	for c := range l.open {
		if !c.answered {
			waiting[c.client]++
		}
	}
	var oldest *connection
	for c := range l.open {
		if c.answered {
			continue
		}
		if oldest == nil || waiting[c.client] > waiting[oldest.client] ||
			waiting[c.client] == waiting[oldest.client] && c.waitsSince.Before(oldest.waitsSince) {
			oldest = c
		}
	}
	return oldest
}

func hostOf(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return c.RemoteAddr().String()
	}
	return host
}

// connection is an open connection of a listener.
type connection struct {
	net.Conn
	listener *listener
	client   string // the address, without port

	// The listener's lock guards the following fields.

	// answered reports that a request has arrived completely, and its answer was
	// not sent completely.
	answered bool
	// waitsSince is the time since which the server waits for the client.
	waitsSince time.Time
}

// Close closes the connection, and frees its place.
func (c *connection) Close() error {
	c.listener.lock.Lock()
	delete(c.listener.open, c)
	c.listener.lock.Unlock()
	return c.Conn.Close() //nolint:wrapcheck // it stands for the connection
}

// set notes that a request is being answered, or that the server waits for the
// client.
func (c *connection) set(answered bool) {
	c.listener.lock.Lock()
	defer c.listener.lock.Unlock()
	c.answered = answered
	if !answered {
		c.waitsSince = time.Now()
	}
}
