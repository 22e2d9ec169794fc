#!/bin/bash
# client-go-proxy-url.sh: proxy-url of a kubeconfig meets the cache of connections
# in client-go.
#
# Version: k8s.io/client-go v0.37.2.
#
# Expected: "proxy-url" in a kubeconfig and HTTPS_PROXY in the environment differ in
# where the proxy's address stands. With either, clients of one configuration share
# a connection to the API server, as they do without a proxy.
# Happens: with HTTPS_PROXY they share it. With proxy-url each new client makes a
# tunnel and a TLS handshake of its own, and its connection stays open until the
# API server or the proxy ends it. clientcmd turns the URL into a function
# (rest.Config.Proxy), and functions cannot be compared, so transport/cache.go takes
# the configuration for one that cannot be cached. No log line tells of it. The
# metric rest_client_transport_create_calls_total does (result "uncacheable").
# Matters: who reaches a cluster through an egress proxy is told to write proxy-url,
# for the variable has effects on the whole process. A controller that makes a
# client for each object or tenant, cheap so far, then fills the proxy's table of
# tunnels: 20 for one.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export CGO_ENABLED=0

# The program is API server, proxy and clients.
cat >main.go <<'GO'
package main

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const kubeconfig = `
apiVersion: v1
kind: Config
current-context: there
contexts: [{name: there, context: {cluster: there, user: me}}]
users: [{name: me, user: {token: secret}}]
clusters:
- name: there
  cluster: {server: "https://example.com:6443", certificate-authority: ca.pem%s}
`

func main() {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.EnableHTTP2 = true
	server.StartTLS()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	check(os.WriteFile("ca.pem", ca, 0o600))
	var tunnels atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		tunnels.Add(1)
		there, err := net.Dial("tcp", server.Listener.Addr().String())
		check(err)
		w.WriteHeader(http.StatusOK)
		here, buffered, err := http.NewResponseController(w).Hijack()
		check(err)
		go func() { _, _ = io.Copy(there, buffered) }()
		_, _ = io.Copy(here, there)
	}))

	try := func(name, setting string) {
		tunnels.Store(0)
		check(os.WriteFile("kubeconfig", fmt.Appendf(nil, kubeconfig, setting), 0o600))
		for range 20 {
			config, err := clientcmd.BuildConfigFromFlags("", "kubeconfig")
			check(err)
			client, err := rest.HTTPClientFor(config)
			check(err)
			response, err := client.Get(config.Host + "/version")
			check(err)
			check(response.Body.Close())
		}
		fmt.Printf("%s: 20 clients, tunnels: %d\n", name, tunnels.Load())
	}
	check(os.Setenv("HTTPS_PROXY", proxy.URL))
	try("HTTPS_PROXY", "")
	check(os.Unsetenv("HTTPS_PROXY"))
	try("proxy-url", fmt.Sprintf(", proxy-url: %q", proxy.URL))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
	go mod init finding.test
	go get k8s.io/client-go/rest@v0.37.2 k8s.io/client-go/tools/clientcmd@v0.37.2
	nice -n 5 go build -o run .
} >log 2>&1 || { cat log >&2 && exit 1; }
output=$(./run)
echo "$output"

if [ "$output" != 'HTTPS_PROXY: 20 clients, tunnels: 1
proxy-url: 20 clients, tunnels: 20' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
