package capture

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// openTimeout bounds the time in which a tunnel is opened. The proxy itself waits for a
// minute for a server.
const openTimeout = 75 * time.Second

// connection is a captured connection.
type connection struct {
	*net.TCPConn
	name string
	port uint16

	once sync.Once
	left func()
}

// Close closes the connection, and frees its place.
func (conn *connection) Close() error {
	conn.once.Do(conn.left)
	return conn.TCPConn.Close() //nolint:wrapcheck // it stands for the connection
}

// reset closes the connection so that the program sees a reset and not an end.
func (conn *connection) reset() {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// enter notes a connection to an entry. It returns nil for one that cannot be served,
// and resets it: at the bound, and when the entry has lost its place meanwhile.
func (c *Capture) enter(e *entry, port uint16, accepted *net.TCPConn) *connection {
	conn := &connection{TCPConn: accepted, name: e.name, port: port, left: func() {}}
	c.lock.Lock()
	crowded := len(c.conns) >= mostConnections
	admitted := !crowded && !c.closed && c.table.contains(e)
	if admitted {
		e.open++
		c.conns[conn] = struct{}{}
		conn.left = func() { c.exit(e, conn) }
	}
	c.lock.Unlock()
	if admitted {
		return conn
	}
	conn.reset()
	if crowded {
		c.crowded.warn(c.log, c.now(), "a captured connection is reset, because too many are open",
			"name", e.name, "port", port, "most", mostConnections)
	}
	return nil
}

// exit notes the end of a connection.
func (c *Capture) exit(e *entry, conn *connection) {
	c.lock.Lock()
	defer c.lock.Unlock()
	e.open--
	e.lastUse = c.now()
	delete(c.conns, conn)
}

// serve serves a connection. Connections to the port of plain HTTP are served by the web
// server if they begin as HTTP/1, and all others become tunnels.
func (c *Capture) serve(conn *connection) {
	if conn.port == c.web.port {
		switch first, err := firstBytes(conn.TCPConn); {
		case err != nil:
			_ = conn.Close() // the program sent nothing
			return
		case beginsHTTP1(first) && c.web.take(conn):
			return
		}
	}
	defer conn.Close()
	stream, err := c.tunnel(c.tunnels, conn.name, conn.port)
	if err != nil {
		conn.reset()
		return
	}
	join(c.tunnels, conn, stream)
}

// tunnel opens a tunnel, and logs why one could not be opened.
func (c *Capture) tunnel(parent context.Context, name string, port uint16) (Stream, error) {
	ctx, cancel := context.WithTimeout(parent, openTimeout)
	defer cancel()
	stream, err := c.proxy.Tunnel(ctx, name, port)
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		c.log.Warn("a captured connection has no tunnel", "name", name, "port", port,
			"status", refusal.Status, "reason", refusal.Reason, "cure", refusal.Cure)
	case err != nil && parent.Err() == nil:
		c.log.Warn("a captured connection has no tunnel", "name", name, "port", port, "error", err)
	}
	return stream, err //nolint:wrapcheck // it is the relay's error, and was logged
}

// Shutdown ends the DNS server and closes the listeners. It returns when all captured
// connections have ended, or resets them when the context is done.
func (c *Capture) Shutdown(ctx context.Context) {
	c.servers.shutdown(ctx)
	c.lock.Lock()
	c.closed = true
	for _, e := range c.table.byName {
		e.close()
	}
	c.lock.Unlock()
	c.web.drain() //nolint:contextcheck // close ends it
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for c.Stats().Connections > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	c.end()
	c.web.close()
	c.lock.Lock()
	rest := slices.Collect(maps.Keys(c.conns))
	c.lock.Unlock()
	for _, conn := range rest {
		conn.reset()
	}
}
