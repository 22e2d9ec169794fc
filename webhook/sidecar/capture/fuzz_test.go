package capture

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"testing"

	"github.com/miekg/dns"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// FuzzMessage: whatever a program sends to the DNS server, it does not panic, its answer
// is one to the question and can be parsed, is not larger than its program accepts, and
// the table stays within its bound.
func FuzzMessage(f *testing.F) {
	for _, name := range []string{"a.example.", "A.EXAMPLE.", "backend.cluster.local.", "localhost.", ".", "7.0.128.127.in-addr.arpa.", `a\000\.b.example.`, "xn--bcher-kva.example."} {
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypePTR, dns.TypeANY, dns.TypeAXFR} {
			packed, err := new(dns.Msg).SetQuestion(name, kind).SetEdns0(1232, true).Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(packed)
		}
	}
	f.Add([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}) // a header alone
	fixture := newCapture(f, testConfig(machinetest.FreePort(f)))
	fixture.table.most = 4
	f.Fuzz(func(t *testing.T, packet []byte) {
		query := new(dns.Msg)
		if len(packet) < 12 || query.Unpack(packet) != nil || query.Response || len(query.Question) > 1 {
			return // refused by the library (acceptQuery)
		}
		reply := fixture.answer(t.Context(), query)
		size := replySize(query, true)
		reply.Truncate(size)
		packed, err := reply.Pack()
		if err != nil {
			t.Fatalf("the answer to %v cannot be packed: %v\n%v", query.Question, err, reply)
		}
		parsed := new(dns.Msg)
		if err := parsed.Unpack(packed); err != nil {
			t.Fatal(err)
		}
		if len(packed) > size || parsed.Id != query.Id || !parsed.Response || !slices.Equal(parsed.Question, query.Question) {
			t.Errorf("%d bytes, bound %d: %v", len(packed), size, parsed)
		}
		if names := fixture.Stats().Names; names > 4 {
			t.Errorf("%d names", names)
		}
	})
}

// onlyProxy accepts requests for one name.
type onlyProxy struct {
	t    *testing.T
	name string
}

var errOffline = errors.New("offline")

func (p *onlyProxy) Tunnel(_ context.Context, host string, _ uint16) (Stream, error) {
	if host != p.name {
		p.t.Errorf("a tunnel to %q", host)
	}
	return nil, errOffline
}

func (p *onlyProxy) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "http" || r.URL.Host != p.name || r.Host != p.name || r.Method == http.MethodConnect {
		p.t.Errorf("a request for %s %v, host %q", r.Method, r.URL, r.Host)
	}
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	return nil, errOffline
}

// FuzzRequestHead: whatever a program sends on a captured connection, the proxy gets
// requests for the name of the connection alone. Nothing panics, and memory is bounded.
func FuzzRequestHead(f *testing.F) {
	for _, head := range []string{
		"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET //b.example/ HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
		"GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n", "GET /%zz HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
	} {
		f.Add([]byte(head))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		beginsHTTP1(head[:min(len(head), firstSize)])
		proxy := &onlyProxy{t, "a.example"}
		c := New(testConfig(443), proxy, slog.New(slog.DiscardHandler))
		reader := bufio.NewReader(bytes.NewReader(head))
		for {
			r, err := http.ReadRequest(reader)
			if err != nil {
				break
			}
			r = r.WithContext(context.WithValue(r.Context(), nameKey{}, proxy.name))
			response := httptest.NewRecorder()
			c.web.ServeHTTP(response, r)
			if response.Code < 400 {
				t.Errorf("status %d without a proxy", response.Code)
			}
			_, _ = io.Copy(io.Discard, r.Body)
		}
		runtime.ReadMemStats(&after)
		if used, bound := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+64*len(head)*8); used > bound {
			t.Errorf("%d bytes were allocated for %d, bound %d", used, len(head), bound)
		}
	})
}
