// Package fakes surrounds the demo with an internet and a proxy on loopback addresses,
// so that its page can be opened without a cluster.
package fakes

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// ExternalAddress is the address that the internet reports.
const ExternalAddress = "203.0.113.7"

// Internet starts an HTTPS server that stands for the destinations of the demo: the IP
// echo at /, ipinfo.io at /info, and httpbin.
func Internet() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"ip":"`+ExternalAddress+`"}`)
	})
	mux.HandleFunc("GET /info", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"ip":"`+ExternalAddress+`","city":"Paris","region":"Île-de-France","country":"FR","org":"AS64500 Example Cloud","timezone":"Europe/Paris"}`)
	})
	mux.HandleFunc("GET /json", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"slideshow":{"author":"Yours Truly","date":"date of publication","slides":[{"title":"Wake up to WonderWidgets!","type":"all"}]}}`)
	})
	mux.HandleFunc("GET /headers", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]http.Header{"headers": r.Header})
	})
	mux.HandleFunc("GET /status/418", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	})
	mux.HandleFunc("GET /delay/1", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Second)
		_, _ = io.WriteString(w, "{}")
	})
	return httptest.NewTLSServer(mux)
}

// denialPage is the page of a denial: host, rule.
const denialPage = `<!DOCTYPE html>
<title>Denied by the egress proxy</title>
<h1>Denied by the egress proxy</h1>
<p>Tenant client-a: the request to %s is denied by the rule "port".</p>
`

// Proxy starts a proxy on an address, HOST:PORT, that supports only CONNECT. It connects every tunnel to port 443
// of a name below example.com to internet, and denies all others. busy, if not nil,
// returns true for hosts for which it answers 503.
func Proxy(ctx context.Context, address, internet string, busy func(host string) bool) (*httptest.Server, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodConnect || !strings.HasSuffix(r.Host, ".example.com:443"):
			w.Header().Set("X-Squid-Error", "ERR_ACCESS_DENIED 0")
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, denialPage, r.Host)
		case busy != nil && busy(r.Host):
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			tunnel(w, r, internet)
		}
	}))
	_ = server.Listener.Close() // of the port that httptest has chosen
	server.Listener = listener
	server.Start()
	return server, nil
}

func tunnel(w http.ResponseWriter, r *http.Request, to string) {
	origin, err := new(net.Dialer).DialContext(context.WithoutCancel(r.Context()), "tcp", to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer origin.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer client.Close()
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() { _, _ = io.Copy(origin, client) }()
	_, _ = io.Copy(client, origin)
}

// ClosedPort is a loopback address without a listener. On 127.0.0.1, another program may get
// the port meanwhile.
func ClosedPort(ctx context.Context) (string, error) {
	address := fmt.Sprintf("127.75.%d.%d:0", rand.IntN(256), 1+rand.IntN(254))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
