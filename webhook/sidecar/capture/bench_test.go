package capture

import (
	"context"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// maxKnownName bounds the time of an answer to a name that has an address.
const maxKnownName = 50 * time.Microsecond

// BenchmarkKnownName measures the answer to a name that has an address, from the bytes of
// the query to those of the answer. It fails above maxKnownName.
func BenchmarkKnownName(b *testing.B) {
	f := newCapture(b, testConfig(freePort(b)))
	f.resolve(b, "api.example.com")
	packed, err := new(dns.Msg).SetQuestion("api.example.com.", dns.TypeA).SetEdns0(1232, false).Pack()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		query := new(dns.Msg)
		if err := query.Unpack(packed); err != nil {
			b.Fatal(err)
		}
		reply := f.answer(context.Background(), query)
		reply.Truncate(replySize(query, true))
		if _, err := reply.Pack(); err != nil || len(reply.Answer) != 1 {
			b.Fatal(reply, err)
		}
	}
	if each := b.Elapsed() / time.Duration(b.N); each > maxKnownName {
		b.Errorf("%s for each answer, want at most %s", each, maxKnownName)
	}
}

// BenchmarkKnownNameByUDP measures the same with the sockets of both sides. cpu-µs/op is
// the processor time of server and client together.
func BenchmarkKnownNameByUDP(b *testing.B) {
	f := start(b, testConfig(freePort(b)))
	client := dns.Client{}
	conn, err := client.Dial(f.dns)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	query := new(dns.Msg).SetQuestion("api.example.com.", dns.TypeA).SetEdns0(1232, false)
	begin := cpuTime(b)
	for b.Loop() {
		if reply, _, err := client.ExchangeWithConn(query, conn); err != nil || len(reply.Answer) != 1 {
			b.Fatal(reply, err)
		}
	}
	b.ReportMetric(float64((cpuTime(b)-begin).Microseconds())/float64(b.N), "cpu-µs/op")
}

// BenchmarkNewName measures a name that gets an address and its listeners, and takes the
// place of another one.
func BenchmarkNewName(b *testing.B) {
	config := testConfig(freePort(b))
	f := newCapture(b, config)
	i := 0
	for b.Loop() {
		i++
		f.wait(hold) // every other name may lose its place
		name := netip.AddrFrom4([4]byte{1, byte(i >> 16), byte(i >> 8), byte(i)})
		if _, err := f.address("n" + name.String() + ".example"); err != nil {
			b.Fatal(err)
		}
	}
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
