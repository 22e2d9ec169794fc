package machines

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"egress.scw/webhook/sidecar/tunnel"
)

// machine is a proxy machine with its connections: one, and further ones while the
// machine permits no further stream on the others.
type machine struct {
	address  string
	tls      *tls.Config // for HTTP/2
	tlsHTTP1 *tls.Config

	mu      sync.Mutex
	conns   []*tunnel.Conn
	pending *attempt // at a further connection, which waiting requests share
	drained bool
	problem error // not nil: passed over
}

// attempt is a connection that is being made.
type attempt struct {
	done chan struct{}
	err  error
}

// errStalled is the error of a connection that does not answer while the machine does.
var errStalled = errors.New("the connection stalls")

// ErrDrained is the error of a set that is not in use any more.
var ErrDrained = errors.New("the configuration was replaced")

// open opens a tunnel. A connection that ends at this moment is replaced once. Each sign
// of life of the machine may take the patience.
func (m *machine) open(ctx context.Context, target string, header http.Header, patience time.Duration) (*tunnel.Stream, error) {
	retried := false
	for {
		conns, err := m.usable(ctx, patience)
		if err != nil {
			return nil, err
		}
		for _, c := range conns {
			stream, err := m.openOn(ctx, c, target, header, patience)
			switch {
			case err == nil:
				return stream, nil
			case errors.Is(err, tunnel.ErrFull), errors.Is(err, errStalled):
				continue
			case errors.Is(err, tunnel.ErrUnusable) && !retried:
				retried = true
				continue
			}
			return nil, err
		}
		// Each is full, stalls, or has ended.
		if err := m.connect(ctx, conns, patience); err != nil {
			return nil, err
		}
	}
}

// openOn opens a tunnel by a connection, or returns errStalled.
func (m *machine) openOn(ctx context.Context, c *tunnel.Conn, target string, header http.Header, patience time.Duration) (*tunnel.Stream, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	look := time.AfterFunc(bound/2, func() {
		if m.isStalled(ctx, c, patience) {
			stop(errStalled)
		}
	})
	defer look.Stop()
	return c.Open(ctx, target, header, patience)
}

// isStalled reports whether a connection gives no sign of life while a new one to the
// machine does. It then takes no further tunnels. HAProxy reads the frames of a connection
// in their order, so that a target that does not read what it is sent stops all of them.
func (m *machine) isStalled(ctx context.Context, c *tunnel.Conn, patience time.Duration) bool {
	asked, cancel := context.WithTimeout(ctx, bound/4)
	defer cancel()
	if err := c.Ping(asked); !errors.Is(err, tunnel.ErrSilent) || ctx.Err() != nil {
		return false
	}
	if err := m.connect(ctx, []*tunnel.Conn{c}, patience); err != nil {
		return false
	}
	c.Drain()
	return true
}

// usable returns the connections that take streams, at least one.
func (m *machine) usable(ctx context.Context, patience time.Duration) ([]*tunnel.Conn, error) {
	for {
		m.mu.Lock()
		m.forgetEnded()
		conns, drained := slices.Clone(m.conns), m.drained
		m.mu.Unlock()
		if drained {
			return nil, ErrDrained
		}
		if len(conns) > 0 {
			return conns, nil
		}
		if err := m.connect(ctx, nil, patience); err != nil {
			return nil, err
		}
	}
}

// forgetEnded keeps the connections that take streams. The lock is held. Those that
// are about to end close themselves behind their last stream.
func (m *machine) forgetEnded() {
	m.conns = slices.DeleteFunc(m.conns, func(c *tunnel.Conn) bool { return !c.Usable() })
}

// connect makes a further connection, unless there is one that was not tried.
// Requests at the same time share one attempt, with the patience of the first.
func (m *machine) connect(ctx context.Context, tried []*tunnel.Conn, patience time.Duration) error {
	m.mu.Lock()
	m.forgetEnded()
	if slices.ContainsFunc(m.conns, func(c *tunnel.Conn) bool { return !slices.Contains(tried, c) }) {
		m.mu.Unlock()
		return nil
	}
	current := m.pending
	if current == nil {
		current = &attempt{done: make(chan struct{})}
		m.pending = current
		go m.attempt(current, patience) //nolint:gosec,contextcheck // other requests wait for it, too
	}
	m.mu.Unlock()
	select {
	case <-current.done:
		return current.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// attempt is bounded by itself, and not by the request that began it.
func (m *machine) attempt(current *attempt, patience time.Duration) {
	defer close(current.done)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := m.newConn(ctx, patience)
	if err == nil {
		go conn.Watch()
		err = m.keep(conn)
	}
	current.err = err
	m.mu.Lock()
	m.pending = nil
	m.mu.Unlock()
}

// keep adds a connection, unless the set is not in use any more.
func (m *machine) keep(conn *tunnel.Conn) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.drained {
		conn.Drain()
		return ErrDrained
	}
	m.conns = append(m.conns, conn)
	return nil
}

func (m *machine) newConn(ctx context.Context, patience time.Duration) (*tunnel.Conn, error) {
	connection, err := m.dial(ctx, m.tls, patience)
	if err != nil {
		return nil, err
	}
	conn, err := tunnel.New(ctx, connection)
	return conn, explain(err, patience)
}

// dial makes an encrypted connection within the patience.
func (m *machine) dial(ctx context.Context, config *tls.Config, patience time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dialer := tls.Dialer{NetDialer: new(net.Dialer), Config: config}
	connection, err := dialer.DialContext(ctx, "tcp", m.address)
	return connection, explain(err, patience)
}

func (m *machine) drain() {
	m.mu.Lock()
	m.drained = true
	conns := m.conns
	m.conns = nil
	m.mu.Unlock()
	for _, c := range conns {
		c.Drain()
	}
}
