package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// fakeProxy is a proxy on the loopback interface that knows a server for each name and
// port.
type fakeProxy struct {
	lock    sync.Mutex
	servers map[string]string // address by host:port
	opened  []string          // host:port of each tunnel
	urls    []string          // of each plain request
}

func (p *fakeProxy) serve(host string, port uint16, address string) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.servers == nil {
		p.servers = make(map[string]string)
	}
	p.servers[fmt.Sprintf("%s:%d", host, port)] = address
}

func (p *fakeProxy) Tunnel(ctx context.Context, host string, port uint16) (Stream, error) {
	target := fmt.Sprintf("%s:%d", host, port)
	p.lock.Lock()
	p.opened = append(p.opened, target)
	address := p.servers[target]
	p.lock.Unlock()
	if address == "" {
		return nil, &Refusal{Status: http.StatusForbidden, Reason: `the rule "domain" of the tenant`, Cure: "list the host in allow.domains"}
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

func (p *fakeProxy) RoundTrip(r *http.Request) (*http.Response, error) {
	p.lock.Lock()
	p.urls = append(p.urls, r.Method+" "+r.URL.String())
	address := p.servers[r.URL.Host+":80"]
	p.lock.Unlock()
	if address == "" {
		return nil, errors.New("no machine answers")
	}
	r = r.Clone(r.Context())
	r.URL.Host = address
	return http.DefaultTransport.RoundTrip(r)
}

func (p *fakeProxy) tunnels() []string {
	p.lock.Lock()
	defer p.lock.Unlock()
	return append([]string(nil), p.opened...)
}

func (p *fakeProxy) requests() []string {
	p.lock.Lock()
	defer p.lock.Unlock()
	return append([]string(nil), p.urls...)
}

// logs collects log lines.
type logs struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(line []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.Write(line)
}

func (l *logs) String() string {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.String()
}

// fixture is a Capture on the loopback interface.
type fixture struct {
	*Capture
	proxy  *fakeProxy
	logs   *logs
	dns    string // address of its DNS server
	config Config
	later  atomic.Int64 // the time by which its clock is ahead, in nanoseconds
}

// wait puts the clock forward.
func (f *fixture) wait(time time.Duration) { f.later.Add(int64(time)) }

func testConfig(ports ...uint16) Config {
	return Config{
		Ports: ports, ClusterDomain: "cluster.local", Direct: []string{"corp.example"},
		Ranges: []netip.Prefix{netip.MustParsePrefix("10.32.0.0/20"), netip.MustParsePrefix("fd00:10::/32")},
	}
}

// newCapture returns a Capture that serves no DNS.
func newCapture(t testing.TB, config Config) *fixture {
	t.Helper()
	f := &fixture{proxy: &fakeProxy{}, logs: &logs{}, config: config}
	f.Capture = New(config, f.proxy, slog.New(slog.NewTextHandler(f.logs, nil)))
	f.now = func() time.Time { return time.Now().Add(time.Duration(f.later.Load())) }
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		f.Shutdown(ctx)
	})
	return f
}

// start returns a Capture that serves DNS. The port of plain HTTP is the last one.
func start(t testing.TB, config Config) *fixture {
	t.Helper()
	f := newCapture(t, config)
	f.web.port = config.Ports[len(config.Ports)-1]
	f.dns = fmt.Sprintf("127.0.0.1:%d", machinetest.FreePort(t))
	if err := f.Listen(t.Context(), []netip.AddrPort{netip.MustParseAddrPort(f.dns)}); err != nil {
		t.Fatal(err)
	}
	return f
}

// resolver serves DNS with a handler, by UDP and TCP, and returns its address.
func resolver(t testing.TB, handler dns.HandlerFunc) netip.AddrPort {
	t.Helper()
	// A port that the kernel chooses for TCP may be taken for UDP.
	address := fmt.Sprintf("127.0.0.1:%d", machinetest.FreePort(t))
	streams, err := net.Listen("tcp4", address) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp4", address) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []*dns.Server{{Listener: streams, Handler: handler}, {PacketConn: packets, Handler: handler}} {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { _ = server.Shutdown() })
	}
	return netip.MustParseAddrPort(address)
}

// zone is a handler that answers with the records of a zone, given in its text form.
func zone(t testing.TB, records ...string) dns.HandlerFunc {
	t.Helper()
	parsed := make([]dns.RR, len(records))
	for i, text := range records {
		record, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		parsed[i] = record
	}
	return func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		reply.Rcode = dns.RcodeNameError
		for _, record := range parsed {
			if !strings.EqualFold(record.Header().Name, query.Question[0].Name) {
				continue
			}
			reply.Rcode = dns.RcodeSuccess
			if record.Header().Rrtype == query.Question[0].Qtype || record.Header().Rrtype == dns.TypeCNAME {
				reply.Answer = append(reply.Answer, record)
			}
		}
		_, isUDP := w.RemoteAddr().(*net.UDPAddr)
		reply.Truncate(replySize(query, isUDP))
		_ = w.WriteMsg(reply)
	}
}

// ask asks without a network.
func (f *fixture) ask(name string, kind uint16) *dns.Msg {
	return f.answer(context.Background(), new(dns.Msg).SetQuestion(name, kind))
}

// askCluster is ask for a name of the cluster, whose DNS has 1.5 s to answer: on a busy machine,
// which takes longer, it asks again.
func (f *fixture) askCluster(name string, kind uint16) *dns.Msg {
	for range 20 {
		if reply := f.ask(name, kind); reply.Rcode != dns.RcodeServerFailure {
			return reply
		}
	}
	return f.ask(name, kind)
}

// resolve returns the address of a captured name.
func (f *fixture) resolve(t testing.TB, name string) netip.Addr {
	t.Helper()
	reply := f.ask(name+".", dns.TypeA)
	if len(reply.Answer) != 1 {
		t.Fatalf("%s has no address: %v\n%s", name, reply, f.logs)
	}
	address, _ := netip.AddrFromSlice(reply.Answer[0].(*dns.A).A)
	return address.Unmap()
}

// dial connects to a port of a captured name.
func (f *fixture) dial(t testing.TB, name string, port uint16) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp4", netip.AddrPortFrom(f.resolve(t, name), port).String(), time.Minute) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	return conn.(*net.TCPConn)
}

// server accepts connections and passes each to serve. It returns its address.
func server(t testing.TB, serve func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn.(*net.TCPConn))
		}
	}()
	return l.Addr().String()
}

// eventually waits for a condition, on a busy machine for at most a minute.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}
