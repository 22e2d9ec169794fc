package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/sidecar/internal/machinetest"
)

// clusterDNS is the DNS server of a cluster. It knows one name, and counts the questions.
type clusterDNS struct {
	address netip.AddrPort
	asked   atomic.Int64
}

// clusterName is the name that clusterDNS knows, and clusterAddress its address.
const (
	clusterName    = "backend.shop.svc.cluster.local."
	clusterAddress = "10.32.0.7"
)

func startClusterDNS(t *testing.T) *clusterDNS {
	t.Helper()
	packets, err := net.ListenPacket("udp4", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	d := &clusterDNS{address: netip.MustParseAddrPort(packets.LocalAddr().String())}
	started := make(chan struct{})
	server := &dns.Server{PacketConn: packets, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		d.asked.Add(1)
		reply := new(dns.Msg).SetReply(query)
		reply.Rcode = dns.RcodeNameError
		if query.Question[0].Name == clusterName {
			reply.Rcode = dns.RcodeSuccess
			reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: clusterName, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}, A: net.ParseIP(clusterAddress)}}
		}
		_ = w.WriteMsg(reply)
	})}
	go func() { _ = server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() { _ = server.Shutdown() })
	return d
}

// ask asks the sidecar's DNS server for addresses.
func (p *process) ask(t *testing.T, name string, kind uint16) (addresses []string, rcode string) {
	t.Helper()
	reply, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion(name, kind), p.dns)
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range reply.Answer {
		if a, ok := record.(*dns.A); ok {
			addresses = append(addresses, a.A.String())
		} else {
			addresses = append(addresses, record.String())
		}
	}
	return addresses, dns.RcodeToString[reply.Rcode]
}

// dial connects to a port of a captured name, as a program does that reads no proxy
// variables.
func (p *process) dial(t *testing.T, name string, port uint16) (*net.TCPConn, error) {
	t.Helper()
	addresses, rcode := p.ask(t, name+".", dns.TypeA)
	if len(addresses) != 1 {
		t.Fatalf("%s has the addresses %v (%s)", name, addresses, rcode)
	}
	connection, err := net.Dial("tcp4", net.JoinHostPort(addresses[0], strconv.Itoa(int(port)))) //nolint:noctx // loopback
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = connection.Close() })
	_ = connection.SetDeadline(time.Now().Add(time.Minute))
	return connection.(*net.TCPConn), nil
}

// capturePort returns a port that no program listens on.
func capturePort(t *testing.T) uint16 {
	t.Helper()
	return netip.MustParseAddrPort(freeAddress(t)).Port()
}

// captures starts a sidecar that captures connections to the names on ports.
func captures(t *testing.T, p *process, ports ...uint16) (*machinetest.Machine, *clusterDNS) {
	t.Helper()
	machine, cluster := p.machine(t), startClusterDNS(t)
	p.config.Capture = &sidecar.Capture{
		Ports: ports, ClusterDomain: "cluster.local", Resolvers: []netip.AddrPort{cluster.address},
		Direct: []string{"corp.example"}, Ranges: []netip.Prefix{netip.MustParsePrefix("10.32.0.0/20")},
	}
	p.mount(t)
	p.awaitLines(t, "names are captured", 1)
	return machine, cluster
}

// TestProgramCapture: a connection to a name becomes a tunnel to the name, and a refused
// one is reset with a log line. Names of the cluster alone are asked of the cluster's DNS.
func TestProgramCapture(t *testing.T) {
	t.Parallel()
	port, own := capturePort(t), capturePort(t)
	p := startProcess(t, names.EnvPodPorts+"="+strconv.Itoa(int(own)))
	machine, cluster := captures(t, p, port, own)
	target := func(name string) string { return net.JoinHostPort(name, strconv.Itoa(int(port))) }
	machine.Reach(target("db.example.com"), machinetest.Target(t, machinetest.Echo))

	connection, err := p.dial(t, "db.example.com", port)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&tunnel{connection, bufio.NewReader(connection)}).echo(); err != nil {
		t.Error(err)
	}
	if got := p.metric(t, names.MetricSidecarTunnels); got != names.MetricSidecarTunnels+" 1" {
		t.Errorf("the metric is %s", got)
	}
	if got := p.metric(t, names.MetricSidecarCapturedNames); got != names.MetricSidecarCapturedNames+" 1" {
		t.Errorf("the metric is %s", got)
	}
	if got, rcode := p.ask(t, "db.example.com.", dns.TypeAAAA); got != nil || rcode != "NOERROR" {
		t.Errorf("the addresses of IPv6 are %v, %s", got, rcode)
	}
	if _, err := p.dial(t, "db.example.com", own); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection to a port of the pod's own programs: %v", err)
	}

	refused, err := p.dial(t, "unlisted.invalid", port)
	if err == nil {
		_, err = refused.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a refused connection: %v, want a reset", err)
	}
	l := p.awaitLines(t, "a captured connection has no tunnel", 1)[0]
	if l["name"] != "unlisted.invalid" || l["port"] != float64(port) || l["reason"] != "the proxy could not reach the target (ERR_CONNECT_FAIL)" || l["cure"] == "" {
		t.Errorf("logged %v", l)
	}

	if asked := cluster.asked.Load(); asked != 0 {
		t.Errorf("the cluster's DNS was asked %d times for captured names", asked)
	}
	if got, _ := p.ask(t, clusterName, dns.TypeA); len(got) != 1 || got[0] != clusterAddress {
		t.Errorf("the cluster's name has the addresses %v", got)
	}
	if _, rcode := p.ask(t, "intranet.corp.example.", dns.TypeA); rcode != "NXDOMAIN" || cluster.asked.Load() != 2 {
		t.Errorf("%s for a name without the proxy, %d questions", rcode, cluster.asked.Load())
	}
	if got := p.state(t); !strings.Contains(got, `"capture":"in use"`) {
		t.Errorf("the state is %s", got)
	}
}

// TestProgramCapturedAnswer: a target that answers, ends, and reads no more is a clean end
// for the program, which gets the whole answer, although it goes on to send.
func TestProgramCapturedAnswer(t *testing.T) {
	t.Parallel()
	port := capturePort(t)
	p := startProcess(t)
	machine, _ := captures(t, p, port)
	answer := strings.Repeat("answer", 30_000)
	ended := make(chan struct{})
	machine.Reach(fmt.Sprintf("a.example.com:%d", port), machinetest.Target(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 7))
		_, _ = io.WriteString(c, answer)
		_ = c.Close()
		ended <- struct{}{}
	}))
	for range 2 {
		connection, err := p.dial(t, "a.example.com", port)
		if err != nil {
			t.Fatal(err)
		}
		_ = connection.SetReadBuffer(4 << 10) // most of the answer waits in the sidecar's socket
		for _, text := range []string{"request", "more"} {
			if _, err := io.WriteString(connection, text); err != nil {
				t.Fatal(err)
			}
			if text == "request" {
				<-ended
			}
			time.Sleep(100 * time.Millisecond) // the sidecar knows of it
		}
		_ = connection.SetReadBuffer(1 << 20)
		if got, err := io.ReadAll(connection); err != nil || string(got) != answer {
			t.Fatalf("%d bytes of %d, %v", len(got), len(answer), err)
		}
		_ = connection.Close()
	}
}

// TestProgramCaptureOfPlainHTTP: the proxy gets the URL of a request on port 80.
func TestProgramCaptureOfPlainHTTP(t *testing.T) {
	t.Parallel()
	if listener, err := net.Listen("tcp", "127.128.0.1:80"); err != nil { //nolint:noctx // loopback
		t.Skipf("skipped: the port of plain HTTP cannot be listened on here: %v", err)
	} else {
		_ = listener.Close()
	}
	p := startProcess(t)
	captures(t, p, 80)
	connection, err := p.dial(t, "a.example.com", 80)
	if err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(connection)
	for range 2 { // on one connection
		fmt.Fprint(connection, "GET /path HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
		response, err := http.ReadResponse(reader, nil) //nolint:bodyclose // the connection is closed
		if err != nil {
			t.Fatal(err)
		}
		if got := response.Header.Get("X-Url") + " " + response.Header.Get("X-Claimed"); got != "http://a.example.com/path shop/web-1" {
			t.Errorf("the proxy got %s", got)
		}
		_, _ = io.Copy(io.Discard, response.Body)
	}
	p.stop(t) // the connection waits for a request: it is closed
	p.awaitEnd(t)
}

// TestProgramCaptureReload: names keep their addresses with other files, and are served on
// the ports of these. On SIGTERM captured connections may end.
func TestProgramCaptureReload(t *testing.T) {
	t.Parallel()
	port, later := capturePort(t), capturePort(t)
	p := startProcess(t)
	machine, _ := captures(t, p, port)
	echo := machinetest.Target(t, machinetest.Echo)
	for _, number := range []uint16{port, later} {
		machine.Reach(fmt.Sprintf("a.example.com:%d", number), echo)
	}
	before, _ := p.ask(t, "a.example.com.", dns.TypeA)
	p.config.Capture.Ports = []uint16{port, later}
	p.mount(t)
	waitFor(t, "the new port is served", func() bool {
		connection, err := p.dial(t, "a.example.com", later)
		if err == nil {
			_ = connection.Close()
		}
		return err == nil
	})
	if after, _ := p.ask(t, "a.example.com.", dns.TypeA); len(after) != 1 || after[0] != before[0] {
		t.Errorf("the address was %v and is %v", before, after)
	}
	connection, err := p.dial(t, "a.example.com", later)
	if err != nil {
		t.Fatal(err)
	}
	open := &tunnel{connection, bufio.NewReader(connection)}
	if err := open.echo(); err != nil {
		t.Fatal(err)
	}
	p.stop(t)
	p.awaitLines(t, "stopping: open tunnels may end", 1)
	if err := open.echo(); err != nil {
		t.Errorf("the open connection: %v", err)
	}
	_ = open.Close()
	p.awaitEnd(t)
}

// TestProgramCapturePort: while another program has the port of the DNS server, the state
// and the log have the reason. The sidecar takes the port when it is free.
func TestProgramCapturePort(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	other, err := net.Listen("tcp", p.dns) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	p.machine(t)
	p.config.Capture = &sidecar.Capture{
		Ports: []uint16{capturePort(t)}, ClusterDomain: "cluster.local", Resolvers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")},
	}
	p.mount(t)
	p.awaitLines(t, "names are not captured, and the pod's programs resolve none", 1)
	if got := p.state(t); !strings.Contains(got, `"capture":"the DNS server cannot listen`) {
		t.Errorf("the state is %s", got)
	}
	_ = other.Close()
	p.awaitLines(t, "names are captured", 1)
	if got, rcode := p.ask(t, "a.example.com.", dns.TypeA); len(got) != 1 || !strings.HasPrefix(got[0], "127.") {
		t.Errorf("the addresses are %v, %s", got, rcode)
	}
}
