package capture

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// TestClientWithoutProxy: Go's client, which is set to use no proxy, reaches servers by
// name with TLS and with plain HTTP. It resolves as in a pod: by resolv.conf's server.
func TestClientWithoutProxy(t *testing.T) {
	t.Parallel()
	secure, plain := machinetest.FreePort(t), machinetest.FreePort(t)
	f := start(t, testConfig(secure, plain))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s", r.Host, r.URL) })
	origin, site := httptest.NewTLSServer(handler), httptest.NewServer(handler)
	t.Cleanup(origin.Close)
	t.Cleanup(site.Close)
	f.proxy.serve("example.com", secure, strings.TrimPrefix(origin.URL, "https://"))
	f.proxy.serve("example.com", 80, strings.TrimPrefix(site.URL, "http://"))
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, f.dns)
	}}
	roots := x509.NewCertPool()
	roots.AddCert(origin.Certificate()) // for example.com
	client := &http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{Resolver: resolver}).DialContext, TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
	}}
	t.Cleanup(client.CloseIdleConnections)
	for url, want := range map[string]string{
		fmt.Sprintf("https://example.com:%d/a", secure): fmt.Sprintf("example.com:%d /a", secure),
		fmt.Sprintf("http://example.com:%d/b", plain):   "example.com /b",
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Errorf("%s: %v\n%s", url, err, f.logs)
			continue
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || string(body) != want {
			t.Errorf("%s: %q (%v), want %q", url, body, err, want)
		}
	}
	if got := f.proxy.tunnels(); !slices.Equal(got, []string{fmt.Sprintf("example.com:%d", secure)}) {
		t.Errorf("tunnels to %q", got)
	}
	if got := f.proxy.requests(); !slices.Equal(got, []string{"GET http://example.com/b"}) {
		t.Errorf("requests for %q", got)
	}
}
