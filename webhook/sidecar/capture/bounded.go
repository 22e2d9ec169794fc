package capture

import (
	"net"
	"sync"
)

// bounded is a listener with a bound on open connections. At the bound, it closes
// further connections.
type bounded struct {
	net.Listener
	places chan struct{}
}

func newBounded(from net.Listener, most int) *bounded {
	return &bounded{from, make(chan struct{}, most)}
}

// Accept returns the next connection for which there is a place.
func (b *bounded) Accept() (net.Conn, error) {
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
