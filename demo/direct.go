package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"syscall"
)

// askDirectly tries once to reach the internet without a proxy, like an application
// that ignores its environment. With path Proxy the attempt should fail.
func (c *checker) askDirectly(ctx context.Context) result {
	u := c.targets.direct
	r := result{URL: u.String(), Via: direct, Attempts: 1}
	ctx, cancel := context.WithTimeout(ctx, c.directTimeout)
	defer cancel()

	// The connection is the proof, so it is separate from the request: an open
	// connection was not blocked, even if the request fails afterwards.
	conn, err := c.dialer.DialContext(ctx, "tcp", hostPort(u))
	if err != nil {
		r.Error = err.Error()
		meaning, summary := explainNoConnection(u.Hostname(), err)
		if meaning == outcomeProtected {
			meaning = c.path.blocked()
		}
		r.conclude(meaning, summary)
		return r
	}
	defer conn.Close()

	err = r.fetch(ctx, &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		TLSClientConfig:   c.transport.TLSClientConfig.Clone(),
		DisableKeepAlives: true,
	}, u)
	switch {
	case err != nil:
		r.conclude(c.path.reached(true), "This pod opened a direct connection to "+conn.RemoteAddr().String()+", though no answer followed.")
	case wantAddress(&r) != nil:
		r.conclude(c.path.reached(true), "This pod reached the internet directly, at "+conn.RemoteAddr().String()+".")
	default:
		r.conclude(c.path.reached(true), "This pod reached the internet directly, which saw it as "+r.Address+".")
	}
	return r
}

// explainNoConnection distinguishes a blocked egress path from an attempt that
// proves nothing.
func explainNoConnection(host string, err error) (outcome, string) {
	var (
		dns     *net.DNSError
		network net.Error
	)
	switch {
	// First: a lookup that timed out is a timeout as well.
	case errors.As(err, &dns):
		return outcomeInconclusive, "Could not resolve " + host + ": this does not show whether the egress path is open."
	case errors.Is(err, context.Canceled):
		return outcomeInconclusive, "The attempt was cancelled before it ended."
	case errors.As(err, &network) && network.Timeout():
		return outcomeProtected, "Blocked: the direct connection timed out."
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return outcomeProtected, "Blocked: the direct connection was refused."
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH),
		errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return outcomeProtected, "Blocked: there is no direct way to " + host + "."
	}
	return outcomeInconclusive, "The direct connection failed, but not for a reason that shows a block."
}

// hostPort returns the address to which a connection for u is opened.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
