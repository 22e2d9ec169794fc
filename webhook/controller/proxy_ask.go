package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"syscall"
	"time"

	"egress.scw/webhook/api/names"
)

const (
	// askTimeout bounds one question to the proxy. An idle proxy takes a
	// millisecond, one with all its tenants at their limits some 50 ms.
	askTimeout = 5 * time.Second
	// askAgain is the pause before a port is asked a second time: Squid closes its
	// ports for up to half a second while it reads a configuration.
	askAgain = time.Second
)

// portAnswer is the proxy's answer on a port: the tenant that it serves there and
// the tenant's Revision, or an error.
type portAnswer struct {
	asked            time.Time
	tenant, revision string
	err              string // stable: equal for equal causes
}

// askPort asks the proxy on the port of a tenant.
func askPort(ctx context.Context, proxy netip.AddrPort, _ string) portAnswer {
	return askTwice(ctx, func() portAnswer { return askOnce(ctx, proxy) })
}

// askTwice asks a second time if the first attempt fails.
func askTwice(ctx context.Context, ask func() portAnswer) portAnswer {
	answer := ask()
	if answer.err == "" || ctx.Err() != nil {
		return answer
	}
	select {
	case <-ctx.Done():
		return answer
	case <-time.After(askAgain):
		return ask()
	}
}

func askOnce(ctx context.Context, proxy netip.AddrPort) portAnswer {
	return askBy(ctx, &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy.String()})})
}

// askBy asks the proxy of a transport. It opens a connection of its own: a kept one
// would show what the proxy served on the port when the connection began.
func askBy(ctx context.Context, transport *http.Transport) portAnswer {
	answer := portAnswer{asked: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	transport.DisableKeepAlives = true
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, names.ProbeURL, nil)
	if err != nil {
		answer.err = err.Error()
		return answer
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		answer.err = cause(err, askTimeout)
		return answer
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	answer.tenant, answer.revision = response.Header.Get(names.HeaderTenant), response.Header.Get(names.HeaderRevision)
	if answer.revision == "" {
		answer.err = fmt.Sprintf("status %d without the header %s, so this is not a proxy of egress.scw", response.StatusCode, names.HeaderRevision)
	}
	return answer
}

// cause returns the cause of a failed request without the parts that differ between
// attempts, such as the client's own port: the status of a tenant contains it. The timeout
// is that of the request.
func cause(err error, timeout time.Duration) string {
	errno, isErrno := errors.AsType[syscall.Errno](err)
	netErr, isNet := errors.AsType[net.Error](err)
	operation, isOperation := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, errOtherMachine):
		return errOtherMachine.Error()
	case isOperation && operation.Op == "remote error": // an alert of TLS
		return fmt.Sprintf("it refuses the tenant's certificate (%s): run bootstrap apply, which gives it the authority of the certificates", operation.Err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), isNet && netErr.Timeout():
		return fmt.Sprintf("no answer within %s", timeout)
	case isErrno:
		return errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended without an answer"
	default:
		return "the answer is not HTTP"
	}
}

// releasePort tells one proxy that no NetworkPolicy admits pods to the port: its
// firewall records the connection attempt and refuses it. An attempt that is lost is
// repeated with the next round.
func releasePort(ctx context.Context, proxy netip.AddrPort) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	release := netip.AddrPortFrom(proxy.Addr(), proxy.Port()+names.ReleaseOffset)
	if connection, err := new(net.Dialer).DialContext(ctx, "tcp", release.String()); err == nil {
		_ = connection.Close()
	}
}
