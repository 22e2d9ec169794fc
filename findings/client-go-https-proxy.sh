#!/bin/bash
# client-go-https-proxy.sh: what a kubeconfig says about the cluster's certificate meets a
# proxy with a certificate of its own.
#
# Version: k8s.io/client-go v0.37.2, Go 1.26.8.
#
# Expected: certificate-authority and tls-server-name stand under "cluster" and are about
# the API server. A proxy with an https:// address is checked as each other program
# checks it: by its own name and the authorities of the system.
# Happens: both are checked with both settings. Go's transport has one TLS configuration,
# for the connection to the proxy and for that inside the tunnel, and client-go
# fills it with the cluster's settings. With certificate-authority, the certificate of a
# proxy that the system trusts is of "unknown authority", until the proxy's authority
# is added to that of the cluster. With tls-server-name no authority helps: the proxy is
# asked for the API server's name, and its certificate is "valid for" another one. It
# does not matter whether the proxy comes from proxy-url or from HTTPS_PROXY.
# Matters: nearly all kubeconfigs have certificate-authority(-data), so that kubectl,
# helm and controllers fail at a proxy that curl and git pass with the same variable. To
# mend it is to trust the proxy's authority for the API server, too. Whoever reaches
# the API server by an address and tls-server-name can use http:// proxies alone.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOTOOLCHAIN=go1.26.8 CGO_ENABLED=0

# The program is API server, proxy and clients.
cat >main.go <<'GO'
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"time"

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
  cluster: {server: "https://api.example.test:6443"%s}
`

func main() {
	api, apiCA := serve(http.NotFound, "api.example.test", "kubernetes.default.svc")
	proxy, proxyCA := serve(func(w http.ResponseWriter, _ *http.Request) {
		there, err := net.Dial("tcp", api)
		check(err)
		w.WriteHeader(http.StatusOK)
		here, buffered, err := http.NewResponseController(w).Hijack()
		check(err)
		go func() { _, _ = io.Copy(there, buffered) }()
		_, _ = io.Copy(here, there)
	}, "localhost")
	_, port, err := net.SplitHostPort(proxy)
	check(err)
	address := (&url.URL{Scheme: "https", Host: net.JoinHostPort("localhost", port)}).String()

	both := slices.Concat(apiCA, proxyCA)
	check(os.WriteFile("system.pem", both, 0o600))
	check(os.Setenv("SSL_CERT_FILE", "system.pem"))
	check(os.WriteFile("cluster.pem", apiCA, 0o600))
	check(os.WriteFile("both.pem", both, 0o600))
	check(os.Setenv("HTTPS_PROXY", address))
	for _, settings := range []string{
		"",
		", certificate-authority: cluster.pem",
		", certificate-authority: both.pem",
		", certificate-authority: both.pem, tls-server-name: kubernetes.default.svc",
	} {
		fmt.Printf("HTTPS_PROXY%s: %s\n", settings, get(settings))
		fmt.Printf("proxy-url%s: %s\n", settings, get(settings+fmt.Sprintf(", proxy-url: %q", address)))
	}
}

// get returns the API server's answer to a client with these settings of the cluster.
func get(settings string) string {
	check(os.WriteFile("kubeconfig", fmt.Appendf(nil, kubeconfig, settings), 0o600))
	config, err := clientcmd.BuildConfigFromFlags("", "kubeconfig")
	check(err)
	client, err := rest.HTTPClientFor(config)
	check(err)
	response, err := client.Get(config.Host + "/version")
	if err != nil {
		return err.Error()
	}
	check(response.Body.Close())
	return "the API server answers"
}

// serve returns the address of a server with these names, and its authority.
func serve(handler http.HandlerFunc, names ...string) (address string, authority []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	check(err)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
	server.StartTLS()
	return server.Listener.Addr().String(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
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

failed='Get "https://api.example.test:6443/version": proxyconnect tcp: tls: failed to verify certificate: x509: certificate'
expected=$(
	while IFS='|' read -r settings result; do
		printf '%s\n' "HTTPS_PROXY$settings: $result" "proxy-url$settings: $result"
	done <<-CASES
		|the API server answers
		, certificate-authority: cluster.pem|$failed signed by unknown authority
		, certificate-authority: both.pem|the API server answers
		, certificate-authority: both.pem, tls-server-name: kubernetes.default.svc|$failed is valid for localhost, not kubernetes.default.svc
	CASES
)
if [ "$output" != "$expected" ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
