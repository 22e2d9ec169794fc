// Package recorder is the network around a client: a proxy and origins that record
// each request. Its sockets belong to the network namespace of the caller.
package recorder

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"egress.scw/hack/test/clients/matrix"
)

// Recorder records the requests of one client after the other.
type Recorder struct {
	mu   sync.Mutex
	seen matrix.Observation

	servers []*http.Server
	// plain and encrypted get the connections that the proxy has answered.
	plain, encrypted *handed
}

// Start opens the proxy and, on all addresses, the origins: HTTP/1 and HTTP/2
// without TLS on port 80, with TLS on port 443, WebSocket and gRPC on both.
func Start(ctx context.Context, proxy netip.AddrPort, certificate tls.Certificate) (*Recorder, error) {
	r := &Recorder{plain: newHanded(), encrypted: newHanded()}
	origin := r.origin(certificate)
	for _, server := range []struct {
		address string
		server  *http.Server
		handed  *handed
		tls     bool
	}{
		{":80", origin, r.plain, false},
		{":443", origin, r.encrypted, true},
		{proxy.String(), r.proxy(), nil, false},
	} {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", server.address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("opening %s: %w", server.address, err), r.Close())
		}
		r.serve(server.server, listener, server.tls)
		if server.handed != nil {
			r.serve(server.server, server.handed, server.tls)
		}
	}
	return r, nil
}

func (r *Recorder) serve(server *http.Server, listener net.Listener, encrypted bool) {
	r.servers = append(r.servers, server)
	go func() {
		// The listener's end is the server's: Close ends both.
		if encrypted {
			_ = server.ServeTLS(listener, "", "")
		} else {
			_ = server.Serve(listener)
		}
	}()
}

// Close closes everything.
func (r *Recorder) Close() error {
	var errs []error
	for _, server := range r.servers {
		errs = append(errs, server.Close())
	}
	return errors.Join(errs...)
}

// Take returns everything that was recorded since the last call.
func (r *Recorder) Take() matrix.Observation {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = matrix.Observation{}
	return seen
}

func (r *Recorder) record(change func(*matrix.Observation)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.seen)
}

// timeout bounds idle connections of clients that do not close theirs.
const timeout = 30 * time.Second
