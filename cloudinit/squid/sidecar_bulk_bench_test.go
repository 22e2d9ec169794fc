package squid

import (
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"
)

// maxBulkOfFloor is the limit of the CPU time for the bytes of one tunnel, in all
// processes. HAProxy in the place of the sidecar is the floor. Throughput is no measure
// where other programs use the cores.
const maxBulkOfFloor = 1.1

// bulk is the size of the answer to /bulk.
const bulk = 128 << 20

// startBulkSite is startSite with an origin that keeps connections, and has a large
// answer.
func startBulkSite(b *testing.B) site {
	b.Helper()
	s := startSite(b)
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/bulk" {
			fmt.Fprint(w, "reached")
			return
		}
		block := make([]byte, 256<<10)
		for range bulk / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	origin.Config.ErrorLog = log.New(io.Discard, "", 0)
	origin.StartTLS()
	b.Cleanup(origin.Close)
	s.tlsPort = origin.Listener.Addr().(*net.TCPAddr).Port
	return s
}

// transfer is what the bytes of one tunnel have cost.
type transfer struct {
	throughput float64            // MiB/s
	cpu        map[string]float64 // by process, in seconds for each GiB
}

// total is the CPU time of all processes.
func (t transfer) total() (sum float64) {
	for _, seconds := range t.cpu {
		sum += seconds
	}
	return sum
}

// transfer reads the large answer through a relay. The time of this process, which is
// client and origin, is among those of the processes.
func (s site) transfer(b *testing.B, by benchSquid, processes map[string]squidProcess) transfer {
	b.Helper()
	connection := s.openFirst(b, by)
	defer connection.Close()
	spent := func() map[string]time.Duration {
		now := map[string]time.Duration{"ends": ownCPU(b)}
		for name, process := range processes {
			now[name] = process.cpu(b)
		}
		return now
	}
	before, start := spent(), time.Now()
	fmt.Fprint(connection, "GET /bulk HTTP/1.0\r\n\r\n")
	n, err := io.Copy(io.Discard, connection)
	if err != nil || n < bulk {
		b.Fatalf("%d bytes, %v", n, err)
	}
	result := transfer{float64(n) / (1 << 20) / time.Since(start).Seconds(), map[string]float64{}}
	for name, after := range spent() {
		result.cpu[name] = (after - before[name]).Seconds() * (1 << 30) / float64(n)
	}
	return result
}

// ownCPU is the CPU time of this process.
func ownCPU(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// compareBulk fails if the bytes of a tunnel cost too much through the sidecar. It
// reports the plain port of Squid as well.
func (c chain) compareBulk(b *testing.B, s site) {
	const rounds = 5
	squid := map[string]squidProcess{"squid": c.squid.squidProcess}
	behind := func(relay benchSquid) map[string]squidProcess {
		all := maps.Clone(squid)
		all["haproxy"], all["relay"] = c.haproxy, relay.squidProcess
		return all
	}
	floor := c.startTunnelFloor(b)
	for b.Loop() {
		var through, ofFloor, plain []transfer
		for range rounds { // by turns, so that other load slows all
			through = append(through, s.transfer(b, c.sidecar, behind(c.sidecar)))
			ofFloor = append(ofFloor, s.transfer(b, floor, behind(floor)))
			plain = append(plain, s.transfer(b, c.squid, squid))
		}
		for name, transfers := range map[string][]transfer{"sidecar": through, "floor": ofFloor, "plain": plain} {
			b.ReportMetric(medianOf(transfers, func(t transfer) float64 { return t.throughput }), "MiB/s-"+name)
			b.ReportMetric(medianOf(transfers, transfer.total), "s-CPU/GiB-"+name)
		}
		for _, name := range []string{"relay", "haproxy", "squid", "ends"} {
			b.ReportMetric(medianOf(through, func(t transfer) float64 { return t.cpu[name] }), "s-CPU/GiB/"+name)
		}
		throughput := func(t transfer) float64 { return t.throughput }
		b.ReportMetric(medianOf(through, throughput)/medianOf(plain, throughput), "×plain")
		b.ReportMetric(medianOf(plain, transfer.total)/medianOf(through, transfer.total), "×plain-by-CPU")
		ratio := medianOf(through, transfer.total) / medianOf(ofFloor, transfer.total)
		b.ReportMetric(ratio, "×floor-CPU")
		if ratio > maxBulkOfFloor {
			b.Errorf("%.2f times the floor's CPU time of a byte, want at most %.1f", ratio, maxBulkOfFloor)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// medianOf is the median of a figure.
func medianOf(transfers []transfer, figure func(transfer) float64) float64 {
	var values []float64
	for _, t := range transfers {
		values = append(values, figure(t))
	}
	return median(values)
}
