// Package bounded bounds the connections of a server, and with them the memory of the
// sidecar.
package bounded

import (
	"net"
	"sync"
)

// Listener is a listener with a bound on open connections. At the bound, it closes
// further connections.
type Listener struct {
	net.Listener
	places chan struct{}
}

// New returns a listener that has at most so many open connections of another one.
func New(from net.Listener, most int) *Listener {
	return &Listener{from, make(chan struct{}, most)}
}

// Accept returns the next connection for which there is a place.
func (b *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := b.Listener.Accept()
		if err != nil {
			return nil, err //nolint:wrapcheck // the server knows the errors of listeners
		}
		select {
		case b.places <- struct{}{}:
			return &placed{Conn: accepted, leave: sync.OnceFunc(func() { <-b.places })}, nil
		default:
			_ = accepted.Close()
		}
	}
}

// placed is a connection that has a place.
type placed struct {
	net.Conn
	leave func()
}

// Close closes the connection, and frees its place.
func (p *placed) Close() error {
	p.leave()
	return p.Conn.Close() //nolint:wrapcheck // it stands for the connection
}
