package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// ipEcho answers like api.ipify.org.
func ipEcho(address string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"ip":%q}`, address)
	}
}

// proxy is a forward proxy that records its requests.
type proxy struct {
	url    *url.URL
	origin string
	denied int // status of every answer, if not 0

	// deniedPort is the port of the targets that are refused like Squid refuses
	// them, if not empty.
	deniedPort string

	mu   sync.Mutex
	seen []string
}

// startProxy starts a proxy that connects to origin (HOST:PORT) for every name in
// a request.
func startProxy(t *testing.T, origin string) *proxy {
	t.Helper()
	p := &proxy{origin: origin}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	p.url = mustParse(t, server.URL)
	return p
}

// requests lists the recorded requests: METHOD and URL, or HOST:PORT.
func (p *proxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.seen = append(p.seen, r.Method+" "+strings.TrimSuffix(strings.TrimPrefix(r.RequestURI, "//"), "/"))
	p.mu.Unlock()
	switch {
	case p.denied != 0:
		http.Error(w, "denied", p.denied)
	case p.deniedPort != "" && strings.HasSuffix(r.Host, ":"+p.deniedPort):
		w.Header().Set("X-Squid-Error", "ERR_ACCESS_DENIED 0")
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, "<!DOCTYPE html>\n<title>Denied by the egress proxy</title>\n<h1>Denied</h1>\n"+
			"<p>Tenant shop: the request to %s is denied by the rule \"port\".</p>\n<p>It was not forwarded.</p>\n", r.Host)
	case r.Method == http.MethodConnect:
		p.tunnel(w, r)
	default:
		p.forward(w, r)
	}
}

func (p *proxy) forward(w http.ResponseWriter, r *http.Request) {
	out := r.Clone(r.Context())
	out.URL.Host = p.origin
	res, err := new(http.Transport).RoundTrip(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}

func (p *proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	origin, err := new(net.Dialer).DialContext(r.Context(), "tcp", p.origin)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer origin.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer client.Close()
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { _, _ = io.Copy(origin, client) }()
	_, _ = io.Copy(client, origin)
}
