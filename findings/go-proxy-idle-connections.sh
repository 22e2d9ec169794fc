#!/bin/bash
# go-proxy-idle-connections.sh: the limit of idle connections in Go's net/http meets
# a proxy for plain HTTP.
#
# Version: Go 1.26.8.
#
# Expected: MaxIdleConnsPerHost (by default 2) is a limit for each host of the URLs. A
# program that asks many hosts at once, one request for each, keeps a connection for
# each of them, directly as through a proxy.
# Happens: for http:// URLs, all hosts behind one proxy count as one host, the proxy.
# (By transport.go, the key of a connection holds the host only if the connection
# cannot be used for another one, that is, directly or in a tunnel.) Two connections
# are kept, and the others are closed after each round. Without the proxy, 20
# connections serve 50 rounds of 20 hosts; through it, hundreds are made. With https://
# the hosts count by themselves again, for each has its own tunnels.
# Matters: HTTP_PROXY alone turns a scraper or a health checker that kept a connection for
# each host into one that makes dozens of times as many, with the ports and the
# states of closed connections that they leave at the proxy. Nothing in the program tells
# of it. By the same key, MaxConnsPerHost becomes a limit for all hosts together. The remedy
# is a MaxIdleConnsPerHost as high as the number of requests at once.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOTOOLCHAIN=go1.26.8 CGO_ENABLED=0

# The program is origins, proxy and client.
cat >main.go <<'GO'
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
)

const (
	hosts  = 20
	rounds = 50
)

func main() {
	var connections atomic.Int32
	serve := func(handler http.HandlerFunc, start func(*httptest.Server)) string {
		server := httptest.NewUnstartedServer(handler)
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		}
		start(server)
		return server.URL
	}
	var plain, secure []string
	for range hosts {
		plain = append(plain, serve(answer, (*httptest.Server).Start))
		secure = append(secure, serve(answer, (*httptest.Server).StartTLS))
	}
	proxy, err := url.Parse(serve(forward, (*httptest.Server).Start))
	check(err)

	// try counts the connections that reach the servers that the client dials.
	try := func(urls []string, proxy *url.URL, idlePerHost int) int32 {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.Proxy = http.ProxyURL(proxy)
		transport.MaxIdleConnsPerHost = idlePerHost
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		client := &http.Client{Transport: transport}
		connections.Store(0)
		for range rounds {
			var group sync.WaitGroup
			for _, url := range urls {
				group.Go(func() {
					response, err := client.Get(url)
					check(err)
					_, err = io.Copy(io.Discard, response.Body)
					check(err)
					check(response.Body.Close())
				})
			}
			group.Wait()
		}
		return connections.Load()
	}
	direct, proxied := try(plain, nil, 0), try(plain, proxy, 0)
	raised := try(plain, proxy, hosts)
	// A tunnel is a connection to the proxy and one to the origin.
	tunnels := try(secure, proxy, 0) / 2
	fmt.Printf("%d hosts, %d rounds\n", hosts, rounds)
	fmt.Printf("http, direct: %d connections\n", direct)
	fmt.Printf("http, proxy: %d connections\n", proxied)
	fmt.Printf("http, proxy, MaxIdleConnsPerHost %d: %d connections\n", hosts, raised)
	fmt.Printf("https, proxy: %d tunnels\n", tunnels)
	// At the beginning of a round a few more may be made than are used.
	if direct != hosts || raised > 2*hosts || tunnels != hosts || proxied < 10*hosts {
		fmt.Fprintln(os.Stderr, "the behaviour has changed")
		os.Exit(1)
	}
}

func answer(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, "done")
}

// forward answers for the origins; only tunnels go on to them.
func forward(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		answer(w, r)
		return
	}
	there, err := net.Dial("tcp", r.Host)
	check(err)
	w.WriteHeader(http.StatusOK)
	here, buffered, err := http.NewResponseController(w).Hijack()
	check(err)
	go func() { _, _ = io.Copy(there, buffered) }()
	go func() { _, _ = io.Copy(here, there) }()
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
nice -n 5 go run main.go
