#!/bin/bash
# go-https-proxy-haproxy.sh: Go's HTTP client meets an https:// proxy whose TLS
# is that of HAProxy.
#
# Versions: go 1.26.8 (net/http), haproxy 2.6.12-1+deb12u4 (Debian 12).
#
# Expected: a client with HTTPS_PROXY=https://… agrees with the proxy's TLS on a
# protocol that it speaks to proxies, HTTP/1.1. To offer HTTP/2 too (alpn
# h2,http/1.1) costs a front end nothing, for clients choose.
# Happens: to the proxy, Go offers the protocols of the destination, "h2" first.
# HAProxy takes it, and Go goes on in HTTP/1.1: a tunnel ends with "unexpected
# EOF", a plain request with "http2: unencrypted HTTP/2 not enabled". Neither
# message names the proxy. http.DefaultTransport fails, and its copies. A
# transport that is made from scratch works if it has a TLS configuration of its
# own (which switches HTTP/2 off), and so does one that is limited to HTTP/1.1:
# for the destinations, too.
# Matters: the TLS before a forward proxy is often HAProxy. The day its bind line
# gets "h2", most Go programs lose all egress and some none, by how each of them
# makes its transport. A proxy that Go programs use must not offer h2.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOTOOLCHAIN=go1.26.8

# libsystemd0 and libpcre2-8-0 belong to each Debian.
{
	apt-get download haproxy=2.6.12-1+deb12u4 liblua5.3-0=5.3.6-2 \
		libopentracing-c-wrapper0=1.1.3-3+b1 libopentracing1=1.6.0-4
	for package in *.deb; do dpkg-deb -x "$package" root; done
} >log 2>&1 || { cat log >&2 && exit 1; }

# The program is origin, forward proxy and client. HAProxy inherits its two
# listeners as file descriptors 3 and 4.
cat >main.go <<'GO'
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"
)

const config = `
defaults
	mode http
	timeout connect 60s
	timeout client 60s
	timeout server 60s
frontend http1
	bind fd@3 ssl crt tls.pem
	default_backend proxy
frontend both
	bind fd@4 ssl crt tls.pem alpn h2,http/1.1
	default_backend proxy
backend proxy
	server proxy %s
`

func main() {
	origin := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "tunnelled")
	}))
	proxy := httptest.NewServer(http.HandlerFunc(forward))

	key, err := x509.MarshalPKCS8PrivateKey(origin.TLS.Certificates[0].PrivateKey)
	check(err)
	check(os.WriteFile("tls.pem", append(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: origin.Certificate().Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), 0o600))
	check(os.WriteFile("haproxy.cfg", fmt.Appendf(nil, config, proxy.Listener.Addr()), 0o600))

	ctx, stop := context.WithTimeout(context.Background(), 10*time.Minute)
	defer stop()
	haproxy := exec.CommandContext(ctx, "root/usr/sbin/haproxy", "-db", "-q", "-f", "haproxy.cfg")
	haproxy.Stderr = os.Stderr
	var frontends []string
	for range 2 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		file, err := listener.(*net.TCPListener).File()
		check(err)
		haproxy.ExtraFiles = append(haproxy.ExtraFiles, file)
		frontends = append(frontends, listener.Addr().String())
		// HAProxy has the only copy that is listened at.
		check(listener.Close())
	}
	check(haproxy.Start())

	check(os.Setenv("SSL_CERT_FILE", "tls.pem"))
	for i, alpn := range []string{"no alpn", "alpn h2,http/1.1"} {
		standard := http.DefaultTransport.(*http.Transport)
		copied := standard.Clone()
		copied.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS13}
		scratch := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13}}
		limited := &http.Transport{Protocols: new(http.Protocols)}
		limited.Protocols.SetHTTP1(true)
		for _, client := range []struct {
			name string
			*http.Transport
		}{{"standard", standard}, {"copied", copied}, {"scratch", scratch}, {"limited", limited}} {
			client.Proxy = http.ProxyURL(&url.URL{Scheme: "https", Host: frontends[i]})
			fmt.Printf("%s, %s: https %s, http %s\n", alpn, client.name,
				get(client.Transport, origin.URL), get(client.Transport, "http://origin.example.test/"))
		}
	}
	stop()
	_ = haproxy.Wait()
}

// forward is a forward proxy. It answers plain requests itself.
func forward(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		fmt.Fprint(w, "forwarded")
		return
	}
	origin, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer origin.Close()
	w.WriteHeader(http.StatusOK)
	client, buffered, err := http.NewResponseController(w).Hijack()
	check(err)
	defer client.Close()
	// The server may have read the tunnel's first bytes together with the request.
	go func() { _, _ = io.Copy(origin, buffered) }()
	_, _ = io.Copy(client, origin)
}

// get returns the body, or the error's text behind the URL.
func get(transport *http.Transport, address string) string {
	response, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Get(address)
	if err != nil {
		_, reason, _ := strings.Cut(err.Error(), `": `)
		return fmt.Sprintf("%q", reason)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(err)
	return string(body)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
	go mod init finding.test
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }
libraries=$(find "$work/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
output=$(LD_LIBRARY_PATH=$libraries ./run)
echo "$output"

if [ "$output" != 'no alpn, standard: https tunnelled, http forwarded
no alpn, copied: https tunnelled, http forwarded
no alpn, scratch: https tunnelled, http forwarded
no alpn, limited: https tunnelled, http forwarded
alpn h2,http/1.1, standard: https "unexpected EOF", http "http2: unencrypted HTTP/2 not enabled"
alpn h2,http/1.1, copied: https "unexpected EOF", http "http2: unencrypted HTTP/2 not enabled"
alpn h2,http/1.1, scratch: https tunnelled, http forwarded
alpn h2,http/1.1, limited: https tunnelled, http forwarded' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
