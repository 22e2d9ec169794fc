package main

import (
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

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

// ask asks the sidecar's DNS server for addresses. The cluster's DNS has 1.5 s to answer the
// sidecar: on a busy machine, which takes longer, it asks again.
func (p *process) ask(t *testing.T, name string, kind uint16) (addresses []string, rcode string) {
	t.Helper()
	client := dns.Client{Timeout: time.Minute}
	var reply *dns.Msg
	for try := 0; try < 20 && (reply == nil || reply.Rcode == dns.RcodeServerFailure); try++ {
		var err error
		if reply, _, err = client.Exchange(new(dns.Msg).SetQuestion(name, kind), p.dns); err != nil {
			t.Fatal(err)
		}
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
