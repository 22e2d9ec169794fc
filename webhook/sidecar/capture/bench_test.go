package capture

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// maxKnownName bounds the time of an answer to a name that has an address.
const maxKnownName = 50 * time.Microsecond

// BenchmarkKnownName measures the answer to a name that has an address, from the bytes of
// the query to those of the answer. It fails above maxKnownName.
func BenchmarkKnownName(b *testing.B) {
	f := newCapture(b, testConfig(machinetest.FreePort(b)))
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

// BenchmarkKnownNameByUDP measures the same with the sockets of both sides. The floor is a
// socket that sends each query back. cpu-µs/op is the processor time of server and client
// together.
func BenchmarkKnownNameByUDP(b *testing.B) {
	f := start(b, testConfig(machinetest.FreePort(b)))
	query := new(dns.Msg).SetQuestion("api.example.com.", dns.TypeA).SetEdns0(1232, false)
	answers, floor := newExchange(b, f.dns, query), newExchange(b, echo(b), query)
	var took, least time.Duration
	begin := cpuTime(b)
	var cpu time.Duration
	for b.Loop() { // by turns, so that other load slows both
		elapsed, reply := answers()
		if took += elapsed; len(reply.Answer) != 1 {
			b.Fatal(reply)
		}
		cpu += cpuTime(b) - begin
		elapsed, _ = floor()
		least += elapsed
		begin = cpuTime(b)
	}
	each := func(total time.Duration) float64 { return float64(total.Nanoseconds()) / 1000 / float64(b.N) }
	b.ReportMetric(each(cpu), "cpu-µs/op")
	b.ReportMetric(each(took), "µs/op")
	b.ReportMetric(each(took-least), "µs/op-over-floor")
	b.ReportMetric(0, "ns/op") // of both
	if more := (took - least) / time.Duration(b.N); more > maxKnownName {
		b.Errorf("an answer takes %s more than a query that is sent back, want at most %s", more, maxKnownName)
	}
}

// newExchange returns a function that sends the query, and returns its time and reply.
func newExchange(b *testing.B, address string, query *dns.Msg) func() (time.Duration, *dns.Msg) {
	b.Helper()
	client := dns.Client{}
	conn, err := client.Dial(address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return func() (time.Duration, *dns.Msg) {
		start := time.Now()
		reply, _, err := client.ExchangeWithConn(query, conn)
		if err != nil {
			b.Fatal(err)
		}
		return time.Since(start), reply
	}
}

// echo returns the address of a socket that sends each datagram back.
func echo(b *testing.B) string {
	b.Helper()
	socket, err := new(net.ListenConfig).ListenPacket(b.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { socket.Close() })
	go func() {
		buffer := make([]byte, dns.MinMsgSize)
		for {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = socket.WriteTo(buffer[:n], from)
		}
	}()
	return socket.LocalAddr().String()
}

// BenchmarkNewName measures a name that gets an address and its listeners, and takes the
// place of another one.
func BenchmarkNewName(b *testing.B) {
	config := testConfig(machinetest.FreePort(b))
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
