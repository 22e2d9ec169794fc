package capture

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// text is the answer in short: its status, and its records.
func text(reply *dns.Msg) string {
	parts := []string{dns.RcodeToString[reply.Rcode]}
	for _, section := range [][]dns.RR{reply.Answer, reply.Ns} {
		for _, record := range section {
			fields := strings.Fields(record.String())
			parts = append(parts, strings.Join(append(fields[:1:1], fields[3:min(5, len(fields))]...), " "))
		}
	}
	return strings.Join(parts, "; ")
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	f := newCapture(t, testConfig(machinetest.FreePort(t)))
	first := f.resolve(t, "known.example")
	reverse, err := dns.ReverseAddr(first.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		kind uint16
		want string
	}{
		{"known.example.", dns.TypeA, "NOERROR; known.example. A " + first.String()},
		{"KNOWN.Example.", dns.TypeA, "NOERROR; KNOWN.Example. A " + first.String()},
		{"known.example.", dns.TypeAAAA, "NOERROR; known.example. SOA egress-sidecar."},
		{"known.example.", dns.TypeHTTPS, "NOERROR; known.example. SOA egress-sidecar."},
		{"new.example.", dns.TypeSVCB, "NOERROR; new.example. SOA egress-sidecar."},
		{"new.example.", dns.TypeMX, "NOERROR; new.example. SOA egress-sidecar."},
		{"new.example.", dns.TypeTXT, "NOERROR; new.example. SOA egress-sidecar."},
		{"new.example.", dns.TypeANY, "NOERROR; new.example. SOA egress-sidecar."},
		{"new.example.", dns.TypeAXFR, "REFUSED"},
		{"backend.", dns.TypeA, "NXDOMAIN; . SOA egress-sidecar."},
		{"backend.orders.svc.", dns.TypeAAAA, "NXDOMAIN; . SOA egress-sidecar."},
		{`a\.b.example.`, dns.TypeA, "NXDOMAIN; . SOA egress-sidecar."},
		{`b\195\188cher.example.`, dns.TypeA, "NXDOMAIN; . SOA egress-sidecar."},
		{"192.0.2.1.", dns.TypeA, "NXDOMAIN; . SOA egress-sidecar."},
		{"localhost.", dns.TypeA, "NOERROR; localhost. A 127.0.0.1"},
		{"localhost.", dns.TypeAAAA, "NOERROR; localhost. SOA egress-sidecar."},
		{reverse, dns.TypePTR, "NOERROR; " + reverse + " PTR known.example."},
		{reverse, dns.TypeTXT, "NOERROR; " + reverse + " SOA egress-sidecar."},
		{"9.9.255.127.in-addr.arpa.", dns.TypePTR, "NXDOMAIN; . SOA egress-sidecar."},
		{"8.8.8.8.in-addr.arpa.", dns.TypePTR, "NXDOMAIN; . SOA egress-sidecar."},
	} {
		reply := f.ask(test.name, test.kind)
		if diff := cmp.Diff(test.want, text(reply)); diff != "" {
			t.Errorf("%s %s: %s", test.name, dns.TypeToString[test.kind], diff)
		}
		for _, record := range append(reply.Answer, reply.Ns...) {
			if record.Header().Ttl != 5 {
				t.Errorf("%s %s: a record is valid for %d s", test.name, dns.TypeToString[test.kind], record.Header().Ttl)
			}
		}
	}
	if names := f.Stats().Names; names != 1 {
		t.Errorf("%d names have an address, want that of the one question of type A: the others need none", names)
	}
}

// TestAnswersToOtherQueries: queries of other classes and versions are refused.
func TestAnswersToOtherQueries(t *testing.T) {
	t.Parallel()
	f := newCapture(t, testConfig(machinetest.FreePort(t)))
	chaos := new(dns.Msg).SetQuestion("version.bind.", dns.TypeTXT)
	chaos.Question[0].Qclass = dns.ClassCHAOS
	if got := text(f.answer(t.Context(), chaos)); got != "REFUSED" {
		t.Errorf("class CHAOS: %s", got)
	}
	later := new(dns.Msg).SetQuestion("a.example.", dns.TypeA).SetEdns0(1232, true)
	later.IsEdns0().SetVersion(1)
	reply := f.answer(t.Context(), later)
	if reply.Rcode != dns.RcodeBadVers || len(reply.Answer) != 0 {
		t.Errorf("version 1 of EDNS: %v", reply)
	}
	plain := new(dns.Msg).SetQuestion("a.example.", dns.TypeA).SetEdns0(4096, true)
	if option := f.answer(t.Context(), plain).IsEdns0(); option == nil || option.UDPSize() != udpSize || !option.Do() {
		t.Errorf("the option of EDNS in the answer is %v", option)
	}
}

// TestQueryWithoutItsQuestion: a header that announces a question, and nothing behind
// it, is an error of format. The library accepts such a message.
func TestQueryWithoutItsQuestion(t *testing.T) {
	t.Parallel()
	f := start(t, testConfig(machinetest.FreePort(t)))
	for _, network := range []string{"udp", "tcp"} {
		conn, err := dns.DialTimeout(network, f.dns, 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := conn.Write([]byte{0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
			t.Fatal(err)
		}
		if reply, err := conn.ReadMsg(); err != nil || reply.Id != 0xabcd || reply.Rcode != dns.RcodeFormatError {
			t.Errorf("by %s: %v, %v", network, reply, err)
		}
	}
}

// TestFullTableAnswersWithAFailure: no name loses its address for another one.
func TestFullTableAnswersWithAFailure(t *testing.T) {
	t.Parallel()
	f := newCapture(t, testConfig(machinetest.FreePort(t)))
	f.table.most = 2
	first, second := f.resolve(t, "a.example"), f.resolve(t, "b.example")
	for range 3 {
		if got := text(f.ask("c.example.", dns.TypeA)); got != "SERVFAIL" {
			t.Errorf("a third name: %s", got)
		}
	}
	if f.resolve(t, "a.example") != first || f.resolve(t, "b.example") != second {
		t.Error("a name has another address than before")
	}
	if lines := strings.Count(f.logs.String(), "the table of captured names is full"); lines != 1 {
		t.Errorf("%d log lines, want 1 for equal messages within 10 s:\n%s", lines, f.logs)
	}
}

// TestAnswersOverTheNetwork: by UDP and TCP, with messages of the sizes that programs
// accept.
func TestAnswersOverTheNetwork(t *testing.T) {
	t.Parallel()
	var records []string
	for i := range 60 {
		records = append(records, fmt.Sprintf("many.orders.svc.cluster.local. 5 IN A 10.32.1.%d", i))
	}
	config := testConfig(machinetest.FreePort(t))
	config.Resolvers = []netip.AddrPort{resolver(t, zone(t, records...))}
	f := start(t, config)
	ask := func(network string, size uint16, name string) *dns.Msg {
		t.Helper()
		client := dns.Client{Net: network, UDPSize: 65535, Timeout: time.Minute}
		query := new(dns.Msg).SetQuestion(name, dns.TypeA)
		if size > 0 {
			query.SetEdns0(size, false)
		}
		for try := 0; ; try++ {
			reply, _, err := client.ExchangeContext(t.Context(), query, f.dns)
			if err != nil {
				t.Fatalf("%s %s: %v", network, name, err)
			}
			// The cluster's DNS has 1.5 s, within which a busy machine may not answer.
			if reply.Rcode != dns.RcodeServerFailure || try == 20 {
				return reply
			}
		}
	}
	for _, network := range []string{"udp", "tcp"} {
		if reply := ask(network, 0, "Api.Example."); len(reply.Answer) != 1 || reply.Answer[0].Header().Name != "Api.Example." {
			t.Errorf("%s: %v", network, reply)
		}
	}
	longest := strings.Repeat(strings.Repeat("a", 61)+".", 4)
	for size, complete := range map[uint16]bool{0: false, 512: false, 1232: true, 4096: true} {
		reply := ask("udp", size, "many.orders.svc.cluster.local.")
		if whole := len(reply.Answer) == 60 && !reply.Truncated; whole != complete {
			t.Errorf("a program that accepts %d bytes gets %d records, truncated %t", size, len(reply.Answer), reply.Truncated)
		}
		if reply := ask("udp", size, longest); len(reply.Answer) != 1 {
			t.Errorf("the longest name, %d bytes: %v", size, reply)
		}
	}
	if reply := ask("tcp", 0, "many.orders.svc.cluster.local."); len(reply.Answer) != 60 || reply.Truncated {
		t.Errorf("by TCP: %d records, truncated %t", len(reply.Answer), reply.Truncated)
	}
}
