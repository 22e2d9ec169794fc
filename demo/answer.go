package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxBody bounds the part of an answer that is read and shown, in bytes.
const maxBody = 4 << 10

// fetch asks for u and records the answer, or the error, in the result.
func (r *result) fetch(ctx context.Context, transport http.RoundTripper, u *url.URL) error {
	err := r.roundTrip(ctx, transport, u)
	if err != nil {
		r.Error = err.Error()
	}
	return err
}

func (r *result) roundTrip(ctx context.Context, transport http.RoundTripper, u *url.URL) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "egress-demo/"+version)

	// Not an http.Client: it would follow redirects, to any host that an
	// answer names.
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	r.Status = res.StatusCode

	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if len(body) > maxBody {
		body, r.Truncated = body[:maxBody], true
	}
	r.Body = strings.ToValidUTF8(string(body), "\uFFFD")
	// In a tunnel every answer is the origin's.
	if r.Via != direct && u.Scheme == "http" && isRefusal(res) {
		r.Denial = newDenial(u.String(), res.StatusCode, r.Body)
	}
	if err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	return nil
}

// tunnelError is a proxy's refusal to open a tunnel (CONNECT).
type tunnelError struct {
	host   string // and port
	status int
	page   string // the beginning of the answer's body
}

func (e *tunnelError) Error() string {
	return fmt.Sprintf("the proxy answered CONNECT %s with %s", e.host, statusText(e.status))
}

// defaultTransport is http.DefaultTransport, which takes the proxy from the
// environment, with two differences: every request opens a connection of its
// own, so that a result shows the network as it is now, and a refused tunnel
// is a tunnelError.
func defaultTransport() (*http.Transport, error) {
	standard, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("http.DefaultTransport is not an *http.Transport")
	}
	transport := standard.Clone()
	transport.DisableKeepAlives = true
	transport.OnProxyConnectResponse = refuseTunnel
	return transport, nil
}

func refuseTunnel(_ context.Context, _ *url.URL, connect *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return &tunnelError{host: connect.Host, status: res.StatusCode, page: readPage(res.Body)}
}

// statusText returns a status with its reason phrase: "403 Forbidden".
func statusText(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}
