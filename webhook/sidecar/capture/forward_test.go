package capture

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// TestOnlyDirectNamesAreForwarded: the cluster's DNS is not asked for any other name.
func TestOnlyDirectNamesAreForwarded(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	records := zone(t, "backend.orders.svc.cluster.local. 30 IN A 10.32.1.2", "db.corp.example. 30 IN A 10.9.8.7", "2.1.32.10.in-addr.arpa. 30 IN PTR backend.orders.svc.cluster.local.")
	config := testConfig(machinetest.FreePort(t))
	config.Ranges = []netip.Prefix{netip.MustParsePrefix("10.32.0.0/16")}
	config.Resolvers = []netip.AddrPort{resolver(t, func(w dns.ResponseWriter, query *dns.Msg) {
		asked.Add(1)
		records(w, query)
	})}
	f := newCapture(t, config)
	for _, test := range []struct {
		name string
		kind uint16
		want string
	}{
		{"backend.orders.svc.cluster.local.", dns.TypeA, "NOERROR; backend.orders.svc.cluster.local. A 10.32.1.2"},
		{"Backend.Orders.svc.Cluster.Local.", dns.TypeAAAA, "NOERROR"},
		{"api.example.com.orders.svc.cluster.local.", dns.TypeA, "NXDOMAIN"},
		{"db.corp.example.", dns.TypeA, "NOERROR; db.corp.example. A 10.9.8.7"},
		{"2.1.32.10.in-addr.arpa.", dns.TypePTR, "NOERROR; 2.1.32.10.in-addr.arpa. PTR backend.orders.svc.cluster.local."},
	} {
		before := asked.Load()
		if got := text(f.askCluster(test.name, test.kind)); got != test.want || asked.Load() == before {
			t.Errorf("%s %s: %s, want %s; the resolver was asked %d times", test.name, dns.TypeToString[test.kind], got, test.want, asked.Load()-before)
		}
	}
	before := asked.Load()
	for i := range 1000 {
		f.ask(fmt.Sprintf("secret%d.attacker.example.", i), []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypePTR}[i%4])
		f.ask(fmt.Sprintf("%d.%d.8.8.in-addr.arpa.", i%256, i/256), dns.TypePTR)
		f.ask(fmt.Sprintf("secret%d.", i), dns.TypeA)
	}
	if asked.Load() != before {
		t.Errorf("the resolver was asked %d times for names outside the cluster", asked.Load()-before)
	}
}

// TestForwardTriesTheNextResolver: one that does not answer, that answers with a
// failure, or that answers another question is passed over.
func TestForwardTriesTheNextResolver(t *testing.T) {
	t.Parallel()
	good := resolver(t, zone(t, "a.cluster.local. 5 IN A 10.32.0.9"))
	closed := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), machinetest.FreePort(t))
	for name, first := range map[string]netip.AddrPort{
		"closed": closed,
		"silent": resolver(t, func(dns.ResponseWriter, *dns.Msg) {}),
		"failure": resolver(t, func(w dns.ResponseWriter, query *dns.Msg) {
			_ = w.WriteMsg(new(dns.Msg).SetRcode(query, dns.RcodeRefused))
		}),
		"another question": resolver(t, func(w dns.ResponseWriter, query *dns.Msg) {
			reply := new(dns.Msg).SetReply(query)
			reply.Question[0].Name = "b.cluster.local."
			_ = w.WriteMsg(reply)
		}),
		"a query": resolver(t, func(w dns.ResponseWriter, query *dns.Msg) { _ = w.WriteMsg(query) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := testConfig(machinetest.FreePort(t))
			config.Resolvers = []netip.AddrPort{first, good}
			f := newCapture(t, config)
			if got := text(f.askCluster("a.cluster.local.", dns.TypeA)); got != "NOERROR; a.cluster.local. A 10.32.0.9" {
				t.Errorf("%s\n%s", got, f.logs)
			}
			f.Reload(Config{Ports: config.Ports, ClusterDomain: "cluster.local", Resolvers: []netip.AddrPort{first}})
			if got := text(f.ask("a.cluster.local.", dns.TypeA)); got != "SERVFAIL" || !strings.Contains(f.logs.String(), "the cluster's DNS did not answer") {
				t.Errorf("with this resolver alone: %s\n%s", got, f.logs)
			}
		})
	}
}

// TestForwardAsksAgainByTCP: an answer that is truncated is asked for by TCP.
func TestForwardAsksAgainByTCP(t *testing.T) {
	t.Parallel()
	config := testConfig(machinetest.FreePort(t))
	config.Resolvers = []netip.AddrPort{resolver(t, func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		_, isUDP := w.RemoteAddr().(*net.UDPAddr)
		reply.Truncated = isUDP
		if !isUDP {
			reply.Answer = []dns.RR{addressRecord(query.Question[0].Name, netip.MustParseAddr("10.32.0.9"))}
		}
		_ = w.WriteMsg(reply)
	})}
	f := newCapture(t, config)
	reply := f.askCluster("a.cluster.local.", dns.TypeA)
	if got := text(reply); got != "NOERROR; a.cluster.local. A 10.32.0.9" || reply.Truncated {
		t.Errorf("%s, truncated %t", got, reply.Truncated)
	}
}

// TestForwardIsBounded: further questions fail at once while many wait.
func TestForwardIsBounded(t *testing.T) {
	t.Parallel()
	config := testConfig(machinetest.FreePort(t))
	var asked atomic.Int32
	config.Resolvers = []netip.AddrPort{resolver(t, func(dns.ResponseWriter, *dns.Msg) { asked.Add(1) })}
	f := newCapture(t, config)
	for range mostForwarded { // questions that wait
		f.forward.places <- struct{}{}
	}
	if got := text(f.ask("b.cluster.local.", dns.TypeA)); got != "SERVFAIL" || !strings.Contains(f.logs.String(), errTooManyForwarded.Error()) {
		t.Errorf("%s\n%s", got, f.logs)
	}
	if f.resolve(t, "captured.example") == (netip.Addr{}) {
		t.Error("a captured name has no address meanwhile")
	}
	for range mostForwarded {
		<-f.forward.places
	}
	if got := asked.Load(); got != 0 {
		t.Errorf("the cluster's DNS was asked %d times", got)
	}
	f.ask("a.cluster.local.", dns.TypeA)
	eventually(t, "the cluster's DNS is asked again", func() bool { return asked.Load() == 1 })
	if len(f.forward.places) != 0 {
		t.Errorf("%d places are still taken", len(f.forward.places))
	}
}

// TestAliasesThatLeadOutOfTheCluster: the name behind a Service with externalName is
// captured, and its real addresses are left out.
func TestAliasesThatLeadOutOfTheCluster(t *testing.T) {
	t.Parallel()
	config := testConfig(machinetest.FreePort(t))
	config.Resolvers = []netip.AddrPort{resolver(t, func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		for _, text := range map[string][]string{
			"db.cluster.local.":     {"db.cluster.local. 30 IN CNAME Db.Example.com.", "db.example.com. 30 IN A 192.0.2.1"},
			"two.cluster.local.":    {"two.cluster.local. 30 IN CNAME db.cluster.local.", "db.cluster.local. 30 IN CNAME db.example.com."},
			"inside.cluster.local.": {"inside.cluster.local. 30 IN CNAME a.cluster.local.", "a.cluster.local. 30 IN A 10.32.0.9"},
			"circle.cluster.local.": {"circle.cluster.local. 30 IN CNAME circle.cluster.local."},
		}[query.Question[0].Name] {
			record, err := dns.NewRR(text)
			if err != nil {
				panic(err)
			}
			reply.Answer = append(reply.Answer, record)
		}
		_ = w.WriteMsg(reply)
	})}
	f := newCapture(t, config)
	address := f.resolve(t, "db.example.com").String()
	for _, test := range []struct {
		name string
		kind uint16
		want string
	}{
		{"db.cluster.local.", dns.TypeA, "NOERROR; db.cluster.local. CNAME Db.Example.com.; Db.Example.com. A " + address},
		{"db.cluster.local.", dns.TypeAAAA, "NOERROR; db.cluster.local. CNAME Db.Example.com.; Db.Example.com. SOA egress-sidecar."},
		{"db.cluster.local.", dns.TypeCNAME, "NOERROR; db.cluster.local. CNAME Db.Example.com.; db.example.com. A 192.0.2.1"},
		{"two.cluster.local.", dns.TypeA, "NOERROR; two.cluster.local. CNAME db.cluster.local.; db.cluster.local. CNAME db.example.com.; db.example.com. A " + address},
		{"inside.cluster.local.", dns.TypeA, "NOERROR; inside.cluster.local. CNAME a.cluster.local.; a.cluster.local. A 10.32.0.9"},
		{"circle.cluster.local.", dns.TypeA, "NOERROR; circle.cluster.local. CNAME circle.cluster.local."},
	} {
		if got := text(f.askCluster(test.name, test.kind)); got != test.want {
			t.Errorf("%s %s:\n%s, want\n%s", test.name, dns.TypeToString[test.kind], got, test.want)
		}
	}
}
