#!/bin/bash
# go-proxy-connect-deadline.sh: the deadline of a request meets the tunnel that it needs.
#
# Version: Go 1.26.8 (net/http).
#
# Expected: the context of a request bounds everything that is done for it. A request
# with 5 minutes waits for a slow proxy for up to 5 minutes, and one that was given up
# asks the proxy for nothing any more.
# Happens: connections are made apart from the requests that need them
# (net/http/transport.go: getConn takes the deadline out of the context), and the
# answer to CONNECT has one minute (dialConn). So the request with 5 minutes, or with
# no limit at all, ends after 1 minute with "context deadline exceeded", while its
# context has no error: the message and errors.Is speak of a deadline that nobody set,
# and the error does not contain "proxyconnect". And a request that was given up after 2
# seconds goes on at the proxy: the tunnel is made and TLS is spoken in it, though no
# request follows.
# Matters: a proxy that tries several addresses of a dead host may need more than a
# minute for its answer, a page that says why, and Go programs never see it; no setting
# changes the minute. Code that tells its own deadline from errors of the network by
# errors.Is stops to try again. In the proxy's log there are tunnels for requests that
# were not sent, one for each attempt that was given up.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CGO_ENABLED=0

# The program is client, proxy and server. Time in it is simulated: a minute takes none.
cat >run_test.go <<'GO'
package finding

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func Test(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	certificate := server.TLS.Certificates[0]
	for _, c := range []struct {
		title           string
		deadline, proxy time.Duration
	}{
		{"5 minutes, proxy answers after 50 s", 5 * time.Minute, 50 * time.Second},
		{"5 minutes, proxy answers after 70 s", 5 * time.Minute, 70 * time.Second},
		{"no deadline, proxy answers after 70 s", 0, 70 * time.Second},
		{"2 seconds, proxy answers after 10 s", 2 * time.Second, 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) { try(t, c.title, c.deadline, c.proxy, certificate) })
	}
}

func try(t *testing.T, title string, deadline, proxy time.Duration, certificate tls.Certificate) {
	var seen []string
	transport := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test:3128"}),
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			client, conn := net.Pipe()
			go func() {
				defer conn.Close()
				note := func(what string) { seen = append(seen, what) }
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					return
				}
				note("CONNECT")
				time.Sleep(proxy)
				if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\n\r\n")); err != nil {
					return
				}
				inside := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
				if inside.Handshake() != nil {
					return
				}
				note("TLS")
				if _, err := http.ReadRequest(bufio.NewReader(inside)); err != nil {
					return
				}
				note("GET")
				_, _ = inside.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
			}()
			return client, nil
		},
	}
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if deadline > 0 {
		ctx, cancel = context.WithTimeout(ctx, deadline)
	}
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://a.test/", nil)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	response, err := (&http.Client{Transport: transport}).Do(request)
	result := ""
	if err == nil {
		result = response.Status
		_ = response.Body.Close()
	} else {
		result = fmt.Sprintf("%v (DeadlineExceeded: %t; the context's error: %v)", errors.Unwrap(err), errors.Is(err, context.DeadlineExceeded), ctx.Err())
	}
	took := time.Since(start).Round(time.Second)
	time.Sleep(10 * time.Minute)
	transport.CloseIdleConnections()
	synctest.Wait()
	fmt.Printf("%s: after %s: %s; seen by the proxy: %s\n", title, took, result, strings.Join(seen, ", "))
}
GO
{
	go mod init finding.test
	GOTOOLCHAIN=go1.26.8 GOFLAGS=-mod=mod nice -n 5 go test -vet=off -c -o run
} >log 2>&1 || { cat log >&2 && exit 1; }
version=$(go version run)
[ "${version##* }" = go1.26.8 ] || { echo "another Go: $version" >&2 && exit 1; }
output=$(timeout 120 ./run -test.v=false | grep -v '^PASS$')
echo "$output"

if [ "$output" != "5 minutes, proxy answers after 50 s: after 50s: 204 No Content; seen by the proxy: CONNECT, TLS, GET
5 minutes, proxy answers after 70 s: after 1m0s: context deadline exceeded (DeadlineExceeded: true; the context's error: <nil>); seen by the proxy: CONNECT
no deadline, proxy answers after 70 s: after 1m0s: context deadline exceeded (DeadlineExceeded: true; the context's error: <nil>); seen by the proxy: CONNECT
2 seconds, proxy answers after 10 s: after 2s: context deadline exceeded (DeadlineExceeded: true; the context's error: context deadline exceeded); seen by the proxy: CONNECT, TLS" ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
