package internet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"
)

const name = "echo.example"

// world is an internet that runs on a loopback address of its own.
type world struct {
	config  Config
	address netip.Addr
	events  *syncBuffer
}

// start runs an internet until the test ends. It must stop without an error.
func start(t *testing.T) world {
	t.Helper()
	address := netip.AddrFrom4([4]byte{127, 78, byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
	at := func(port uint16) []netip.AddrPort { return []netip.AddrPort{netip.AddrPortFrom(address, port)} }
	folder := t.TempDir()
	certificates, err := CreateCertificates(folder, []string{name}, []netip.Addr{address})
	if err != nil {
		t.Fatal(err)
	}
	w := world{address: address, events: &syncBuffer{}}
	w.config = Config{
		Zone: Zone{
			"Echo.Example": {address, netip.MustParseAddr("2001:db8::1")},
			"v4.example.":  {netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.11")},
			"none.example": nil,
		},
		Rebinding: Zone{"Rebind.example": {
			netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("127.0.0.1"),
		}},
		Pointers:     map[netip.Addr]string{netip.MustParseAddr("192.0.2.66"): "Echo.example", netip.MustParseAddr("2001:db8::66"): "echo.example."},
		NameServers:  at(5300),
		HTTP:         at(8000),
		HTTPS:        at(8443),
		Certificates: certificates,
		Control:      filepath.Join(folder, "control"),
		Events:       w.events,
	}
	done := make(chan error, 1)
	go func() { done <- Serve(t.Context(), w.config) }()
	t.Cleanup(func() { // the test's context has ended here
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Serve: %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("Serve did not return")
		}
	})
	client := NewClient(w.config.Control)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		err := client.Ready(t.Context())
		if err == nil {
			return w
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// syncBuffer may be read while it is written.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) events(t *testing.T) []Event {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var result []Event
	for line := range bytes.Lines(b.buffer.Bytes()) {
		var event Event
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("not an event: %v: %s", err, line)
		}
		result = append(result, event)
	}
	return result
}

// client reaches the internet under any name, and trusts its authority.
func (w world) client(t *testing.T) *http.Client {
	t.Helper()
	authority, err := os.ReadFile(w.config.Certificates.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		t.Fatal("no certificate in the file of the authority")
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(w.address.String(), port))
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("User-Agent", "test")
	request.Header.Set("X-Forwarded-For", "198.51.100.1")
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func TestEcho(t *testing.T) {
	w := start(t)
	client := w.client(t)
	headers := `{"Accept-Encoding":"gzip","Host":"echo.example:8000","User-Agent":"test","X-Forwarded-For":"198.51.100.1"}`
	cases := []struct {
		url    string
		status int
		body   string
	}{
		{"http://echo.example:8000/", 200, "127.0.0.1"},
		{"http://echo.example:8000/?format=json", 200, `{"ip":"127.0.0.1"}` + "\n"},
		{"https://echo.example:8443/?format=json", 200, `{"ip":"127.0.0.1"}` + "\n"},
		{"https://" + w.address.String() + ":8443/ip", 200, `{"origin":"127.0.0.1"}` + "\n"},
		{"http://whatever.example:8000/ip", 200, `{"origin":"127.0.0.1"}` + "\n"},
		{"http://echo.example:8000/headers", 200, `{"headers":` + headers + "}\n"},
		{"http://echo.example:8000/get?a=1&b=2&a=3", 200, `{"args":{"a":"1,3","b":"2"},"headers":` + headers + `,"origin":"127.0.0.1","url":"http://echo.example:8000/get?a=1\u0026b=2\u0026a=3"}` + "\n"},
		{"http://ipinfo.io:8000/json", 200, `{"bogon":true,"ip":"127.0.0.1"}` + "\n"},
		{"http://echo.example:8000/json", 200, `{"paths":["/","/ip","/get","/headers","/json","/status/{code}","/delay/{seconds}"],"service":"echo"}` + "\n"},
		{"http://echo.example:8000/status/418", 418, ""},
		{"http://echo.example:8000/status/302", 302, ""},
		{"http://echo.example:8000/status/100", 400, "the status must be a number from 200 to 599\n"},
		{"http://echo.example:8000/status/x", 400, "the status must be a number from 200 to 599\n"},
		{"http://echo.example:8000/delay/11", 400, "the delay must be a number of seconds from 0 to 10\n"},
		{"http://echo.example:8000/delay/-1", 400, "the delay must be a number of seconds from 0 to 10\n"},
		{"http://echo.example:8000/delay/NaN", 400, "the delay must be a number of seconds from 0 to 10\n"},
		{"http://echo.example:8000/conf", 404, "404 page not found\n"},
	}
	for _, test := range cases {
		status, body := get(t, client, test.url)
		if status != test.status {
			t.Errorf("%s: status %d, want %d", test.url, status, test.status)
		}
		if diff := cmp.Diff(test.body, body); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.url, diff)
		}
	}

	before := time.Now()
	if status, _ := get(t, client, "http://echo.example:8000/delay/0.2"); status != 200 || time.Since(before) < 200*time.Millisecond {
		t.Errorf("/delay/0.2: status %d after %v", status, time.Since(before))
	}
}

func TestOnlyItsAuthorityIsTrusted(t *testing.T) {
	w := start(t)
	client := w.client(t)
	for _, url := range []string{"https://other.example:8443/", "https://127.0.0.9:8443/"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
			t.Errorf("%s: the certificate holds for a name that it was not made for", url)
		}
	}
}

func TestDNS(t *testing.T) {
	w := start(t)
	server := netip.AddrPortFrom(w.address, 5300).String()
	cases := []struct {
		name  string
		kind  uint16
		rcode int
		want  []string
	}{
		{"echo.example.", dns.TypeA, dns.RcodeSuccess, []string{w.address.String()}},
		{"eChO.eXaMpLe.", dns.TypeAAAA, dns.RcodeSuccess, []string{"2001:db8::1"}},
		{"v4.example.", dns.TypeA, dns.RcodeSuccess, []string{"192.0.2.10", "192.0.2.11"}},
		{"v4.example.", dns.TypeAAAA, dns.RcodeSuccess, nil},
		{"v4.example.", dns.TypeMX, dns.RcodeSuccess, nil},
		{"none.example.", dns.TypeA, dns.RcodeSuccess, nil},
		{"secret.data.exfiltrated.example.", dns.TypeA, dns.RcodeNameError, nil},
		{"example.", dns.TypeA, dns.RcodeNameError, nil},
		{"66.2.0.192.in-addr.arpa.", dns.TypePTR, dns.RcodeSuccess, []string{"echo.example."}},
		{"6.6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6.arpa.", dns.TypePTR, dns.RcodeSuccess, []string{"echo.example."}},
		{"66.2.0.192.in-addr.arpa.", dns.TypeA, dns.RcodeSuccess, nil},
		{"67.2.0.192.in-addr.arpa.", dns.TypePTR, dns.RcodeNameError, nil},
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, test := range cases {
			query := new(dns.Msg).SetQuestion(test.name, test.kind)
			query.SetEdns0(1232, false)
			client := dns.Client{Net: network, Timeout: time.Minute}
			answer, _, err := client.ExchangeContext(t.Context(), query, server)
			if err != nil {
				t.Fatalf("%s, %s: %v", network, test.name, err)
			}
			if answer.Rcode != test.rcode {
				t.Errorf("%s, %s: %s, want %s", network, test.name, dns.RcodeToString[answer.Rcode], dns.RcodeToString[test.rcode])
			}
			var got []string
			for _, record := range answer.Answer {
				if record.Header().Name != test.name {
					t.Errorf("%s, %s: answered for %s", network, test.name, record.Header().Name)
				}
				switch record := record.(type) {
				case *dns.A:
					got = append(got, record.A.String())
				case *dns.AAAA:
					got = append(got, record.AAAA.String())
				case *dns.PTR:
					got = append(got, record.Ptr)
				}
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s, %s: -want +got:\n%s", network, test.name, diff)
			}
			if negative := len(answer.Ns) == 1; negative != (len(test.want) == 0) {
				t.Errorf("%s, %s: authority section: %v", network, test.name, answer.Ns)
			}
			if answer.IsEdns0() == nil {
				t.Errorf("%s, %s: the extension of the query was not answered", network, test.name)
			}
		}
	}
}

// TestRebinding queries a name repeatedly whose address changes, each type
// separately.
func TestRebinding(t *testing.T) {
	w := start(t)
	var got []string
	for i := range 5 {
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT} {
			query := new(dns.Msg).SetQuestion([]string{"rebind.example.", "REBIND.example."}[i%2], kind)
			answer, _, err := new(dns.Client).ExchangeContext(t.Context(), query, netip.AddrPortFrom(w.address, 5300).String())
			if err != nil {
				t.Fatal(err)
			}
			for _, record := range answer.Answer {
				if record.Header().Ttl != 0 {
					t.Errorf("to be remembered: %v", record)
				}
				got = append(got, strings.TrimPrefix(record.String(), record.Header().String()))
			}
		}
	}
	want := []string{
		"192.0.2.10", "2001:db8::1", "10.0.0.1", "2001:db8::2", "127.0.0.1", "2001:db8::1", "192.0.2.10", "2001:db8::2", "10.0.0.1", "2001:db8::1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEvents(t *testing.T) {
	w := start(t)
	get(t, w.client(t), "http://echo.example:8000/ip?x=1")
	get(t, w.client(t), "https://echo.example:8443/")
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network, Timeout: time.Minute}
		query := new(dns.Msg).SetQuestion("secret.Example.", dns.TypeTXT)
		if _, _, err := client.ExchangeContext(t.Context(), query, netip.AddrPortFrom(w.address, 5300).String()); err != nil {
			t.Fatal(err)
		}
	}
	// A connection without a request is logged as well.
	idle, err := new(net.Dialer).DialContext(t.Context(), "tcp", netip.AddrPortFrom(w.address, 8000).String())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()

	at := func(port string) string { return net.JoinHostPort(w.address.String(), port) }
	want := []Event{
		{Kind: EventConnection, Protocol: "http", Destination: at("8000")},
		{Kind: EventRequest, Protocol: "http", Destination: at("8000"), Host: "echo.example:8000", Method: "GET", Path: "/ip?x=1"},
		{Kind: EventConnection, Protocol: "https", Destination: at("8443")},
		{Kind: EventRequest, Protocol: "https", Destination: at("8443"), Host: "echo.example:8443", Method: "GET", Path: "/"},
		{Kind: EventQuery, Protocol: "dns-udp", Destination: at("5300"), Host: "secret.Example.", Type: "TXT"},
		{Kind: EventConnection, Protocol: "dns-tcp", Destination: at("5300")},
		{Kind: EventQuery, Protocol: "dns-tcp", Destination: at("5300"), Host: "secret.Example.", Type: "TXT"},
		{Kind: EventConnection, Protocol: "http", Destination: at("8000")},
	}
	var got []Event
	for deadline := time.Now().Add(time.Minute); len(got) < len(want) && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		got = w.events.events(t)
	}
	for i := range got {
		source, err := netip.ParseAddrPort(got[i].Source)
		if err != nil || !source.Addr().IsLoopback() {
			t.Errorf("source %q: %v", got[i].Source, err)
		}
		if age := time.Since(got[i].Time); age < 0 || age > time.Hour {
			t.Errorf("time %v", got[i].Time)
		}
		got[i].Source, got[i].Time = "", time.Time{}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestServeNamesOccupiedAddresses also shows that listeners opened before the
// error are closed.
func TestServeNamesOccupiedAddresses(t *testing.T) {
	w := start(t)
	again := w.config
	// All other ports are free on this address.
	free := netip.AddrFrom4([4]byte{127, 79, byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
	again.NameServers = []netip.AddrPort{netip.AddrPortFrom(free, 5300)}
	again.HTTP = []netip.AddrPort{netip.AddrPortFrom(free, 8000), w.config.HTTP[0]}
	again.Control = filepath.Join(t.TempDir(), "control")
	for range 2 {
		err := Serve(t.Context(), again)
		if want := "http on " + w.config.HTTP[0].String() + ": "; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "address already in use") {
			t.Fatalf("error %v, want %q and the reason", err, want)
		}
	}
	for _, address := range []string{again.NameServers[0].String(), again.HTTP[0].String()} {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Errorf("not closed: %v", err)
			continue
		}
		listener.Close()
	}
}

func TestServeRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		config Config
		want   string
	}{
		"invalid name":                  {Config{Zone: Zone{"a..b": nil}}, `"a..b" is not a domain name`},
		"no name":                       {Config{Zone: Zone{"": nil}}, `"" is not a domain name`},
		"duplicate name":                {Config{Zone: Zone{"a.example": nil, "A.example.": nil}}, "a.example. is duplicated"},
		"invalid address":               {Config{Zone: Zone{"a.example": {netip.Addr{}}}}, "a.example. has an invalid address"},
		"rebinding name in the zone":    {Config{Zone: Zone{"a.example": nil}, Rebinding: Zone{"A.example": nil}}, "a.example. is in its zone as well"},
		"invalid rebinding name":        {Config{Rebinding: Zone{"a..b": nil}}, `"a..b" is not a domain name`},
		"a pointer to no name":          {Config{Pointers: map[netip.Addr]string{netip.MustParseAddr("192.0.2.1"): "a..b"}}, `"a..b" is not a domain name`},
		"a pointer of no address":       {Config{Pointers: map[netip.Addr]string{{}: "a.example"}}, "the internet's pointers"},
		"HTTPS without a certificate":   {Config{HTTPS: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}}, "the certificate for HTTPS"},
		"a control socket over a file":  {Config{Control: file}, "is not a socket"},
		"a control socket in no folder": {Config{Control: file + "/x"}, "control socket"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			err := Serve(t.Context(), test.config)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestServeStopsInSpiteOfClients has a client that waits for an answer.
func TestServeStopsInSpiteOfClients(t *testing.T) {
	var waiting net.Conn
	t.Cleanup(func() { // after start's cleanup
		if waiting == nil {
			return
		}
		defer waiting.Close()
		if answer, _ := io.ReadAll(waiting); len(answer) > 0 {
			t.Errorf("the server waited until the request was answered: %s", answer)
		}
	})
	w := start(t)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", netip.AddrPortFrom(w.address, 8000).String())
	if err != nil {
		t.Fatal(err)
	}
	waiting = conn
	if _, err := io.WriteString(waiting, "GET /delay/10 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if slices.ContainsFunc(w.events.events(t), func(e Event) bool { return e.Path == "/delay/10" }) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the request did not arrive")
		}
	}
}

// TestCountersWithoutARuleset queries counters where no ruleset is loaded.
func TestCountersWithoutARuleset(t *testing.T) {
	w := start(t)
	counters, err := NewClient(w.config.Control).Counters(t.Context())
	if err == nil || !strings.Contains(err.Error(), "listing the table of counters") {
		t.Errorf("counters %v, error %v", counters, err)
	}
}

// TestControlReplacesStaleSocket starts on a socket without a listener.
func TestControlReplacesStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, Config{Control: path}) }()
	client := NewClient(path)
	for deadline := time.Now().Add(time.Minute); client.Ready(t.Context()) != nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(client.Ready(t.Context()))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}
