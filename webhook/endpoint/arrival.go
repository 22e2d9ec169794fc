package endpoint

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
)

type connectionKey struct{}

// withConnection is a ConnContext of http.Server.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	if own := connectionOf(c); own != nil {
		return context.WithValue(ctx, connectionKey{}, own)
	}
	return ctx
}

func connectionOf(c net.Conn) *connection {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	own, _ := c.(*connection)
	return own
}

// noteState is a ConnState of http.Server: after an answer, the server waits for
// the client again.
func noteState(c net.Conn, state http.ConnState) {
	if own := connectionOf(c); own != nil && state == http.StateIdle {
		own.set(false)
	}
}

// noteArrival notes the end of each request's body.
func noteArrival(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if own, ok := r.Context().Value(connectionKey{}).(*connection); ok {
			if r.Body == http.NoBody {
				own.set(true)
			} else {
				r.Body = &arriving{r.Body, own}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// arriving is a body that notes when it has arrived completely.
type arriving struct {
	io.ReadCloser
	on *connection
}

func (a *arriving) Read(buffer []byte) (int, error) {
	n, err := a.ReadCloser.Read(buffer)
	if errors.Is(err, io.EOF) {
		a.on.set(true)
	}
	return n, err //nolint:wrapcheck // io.EOF has to stay what it is
}
