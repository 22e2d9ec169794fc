package capture

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Proxy is the egress proxy, as the relay reaches it. Its methods may be called by
// many goroutines at a time.
type Proxy interface {
	// Tunnel opens a tunnel to a port of a host, by CONNECT. The host is a name in
	// lower case and punycode, without a trailing dot. The context bounds the opening
	// alone. If the proxy refuses it, or no proxy answers, the error is a *Refusal, which
	// the caller logs.
	Tunnel(ctx context.Context, host string, port uint16) (Stream, error)

	// RoundTripper sends a request for plain HTTP, which the proxy evaluates by its
	// URL: scheme http, and the name as host, without a port. If the proxy refuses the
	// request, its own page is the answer. Refusals and failures are logged by the
	// implementation. Requests to change the protocol (Upgrade) are not sent this way.
	http.RoundTripper
}

// Stream is an open tunnel. Read and Write may be called at the same time, and Close
// ends both.
type Stream interface {
	io.ReadWriteCloser
	// ReaderFrom and WriterTo copy from and to a *net.TCPConn until the end of a
	// direction. While no data moves, they hold no buffer.
	io.ReaderFrom
	io.WriterTo
	// CloseWrite sends the end of one direction. The other one is not affected.
	CloseWrite() error
}

// Refusal is the error of a tunnel that the proxy refuses, or that reaches no proxy.
type Refusal struct {
	// Status is the status of HTTP that describes it, of the proxy's answer if there is one.
	Status int
	// Reason is the cause, as a part of a sentence: `the rule "domain" of the tenant`.
	Reason string
	// Cure is the remedy, as a sentence without a full stop.
	Cure string
}

// Error returns the status, the reason and the remedy.
func (r *Refusal) Error() string {
	return fmt.Sprintf("status %d, %s; %s", r.Status, r.Reason, r.Cure)
}
