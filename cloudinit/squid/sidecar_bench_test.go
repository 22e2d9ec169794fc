package squid

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"
)

// Limits of the sidecar's cost.
const (
	// CPU time of a tunnel with TLS and a request inside. HAProxy that only copies the
	// bytes of a TCP connection, without TLS and HTTP, is the floor: it needs 0.4 to 0.5
	// times Squid's time.
	maxSidecarOfFloor = 2.5
	maxHAProxyOfFloor = 1.8
	maxAddedLatency   = 300 * time.Microsecond
	maxAddedByFirst   = 5 * time.Millisecond // by the first tunnel of a pod
	maxIdleMemory     = 10.0                 // MiB
	maxTunnelMemory   = 16.0                 // KiB of an idle tunnel
	maxSquidMemory    = 1.1                  // for an idle tunnel, of that of the plain port
)

// BenchmarkSidecar compares requests through the sidecar, HAProxy and Squid with
// requests to the tenant's port of the same Squid.
func BenchmarkSidecar(b *testing.B) {
	site := startBulkSite(b)
	squid := startOurs(b, site, oneDomain)
	program := buildSidecar(b)
	chain := startChain(b, squid, program)
	b.Run("CPU", func(b *testing.B) { chain.compareCPU(b, site) })
	b.Run("Bulk", func(b *testing.B) { chain.compareBulk(b, site) })
	b.Run("Latency", func(b *testing.B) { chain.compareLatency(b, site) })
	b.Run("First", func(b *testing.B) { chain.compareFirst(b, site, program) })
	b.Run("Memory", func(b *testing.B) { chain.measureMemory(b, site, program) })
}

// compareCPU fails if the sidecar or HAProxy need too much of the floor's CPU time for
// the same tunnels.
func (c chain) compareCPU(b *testing.B, s site) {
	const rounds = 15
	floor := startFloor(b, c.squid)
	for b.Loop() {
		spent := map[string][]float64{}
		for range rounds {
			s.spend(b, spent, c.sidecar, map[string]squidProcess{"sidecar": c.sidecar.squidProcess, "haproxy": c.haproxy, "squid": c.squid.squidProcess})
			s.spend(b, spent, floor, map[string]squidProcess{"floor": floor.squidProcess})
		}
		for name := range spent {
			b.ReportMetric(median(spent[name]), "µs-CPU/"+name)
		}
		for name, limit := range map[string]float64{"sidecar": maxSidecarOfFloor, "haproxy": maxHAProxyOfFloor} {
			ratio := median(spent[name]) / median(spent["floor"])
			b.ReportMetric(ratio, "×floor/"+name)
			b.ReportMetric(median(spent[name])/median(spent["squid"]), "×squid/"+name)
			if ratio > limit {
				b.Errorf("%s: %.2f times the floor's CPU time of a tunnel (%.0f µs), want at most %.1f", name, ratio, median(spent["floor"]), limit)
			}
		}
	}
	b.ReportMetric(0, "ns/op") // of everything together
}

// spend opens tunnels by a relay, and adds the processes' CPU times of one, in
// microseconds.
func (s site) spend(b *testing.B, spent map[string][]float64, by benchSquid, processes map[string]squidProcess) {
	b.Helper()
	before := map[string]time.Duration{}
	for name, process := range processes {
		before[name] = process.cpu(b)
	}
	total := 0
	for range 10 {
		count, err := s.tunnel(b.Context(), by, 0)
		if err != nil {
			b.Fatal(err)
		}
		total += count
	}
	for name, process := range processes {
		spent[name] = append(spent[name], float64(process.cpu(b)-before[name])/float64(time.Microsecond)/float64(total))
	}
}

// openFirst opens a tunnel with TLS to the first tenant's origin.
func (s site) openFirst(b *testing.B, by benchSquid) net.Conn {
	b.Helper()
	connection, err := s.openTLS(b.Context(), by, 0, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { connection.Close() })
	_ = connection.SetDeadline(time.Time{})
	return connection
}

// compareLatency fails if a request in an open tunnel takes too much longer.
func (c chain) compareLatency(b *testing.B, s site) {
	const requests = 2000
	exchange := func(connection net.Conn) float64 {
		start := time.Now()
		fmt.Fprint(connection, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		answer := make([]byte, 4096)
		if _, err := connection.Read(answer); err != nil {
			b.Fatal(err)
		}
		return float64(time.Since(start))
	}
	through, plain := s.openFirst(b, c.sidecar), s.openFirst(b, c.squid)
	for b.Loop() {
		var one, two []float64
		for range requests { // by turns, so that other load slows both
			one, two = append(one, exchange(through)), append(two, exchange(plain))
		}
		added := time.Duration(median(one) - median(two))
		b.ReportMetric(float64(added.Microseconds()), "µs-added-p50")
		if added > maxAddedLatency {
			b.Errorf("%s more than the plain port, want at most %s", added, maxAddedLatency)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// compareFirst fails if the first tunnel of a sidecar takes too much longer.
func (c chain) compareFirst(b *testing.B, s site, program string) {
	const rounds = 9
	took := func(by benchSquid) float64 {
		start := time.Now()
		defer s.openFirst(b, by).Close()
		return float64(time.Since(start))
	}
	for b.Loop() {
		var through, plain []float64
		for range rounds {
			fresh := startChain(b, c.squid, program)
			through, plain = append(through, took(fresh.sidecar)), append(plain, took(c.squid))
		}
		added := time.Duration(median(through) - median(plain))
		b.ReportMetric(float64(added.Microseconds())/1000, "ms-added-first")
		if added > maxAddedByFirst {
			b.Errorf("the first tunnel takes %s more than on the plain port, want at most %s", added, maxAddedByFirst)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// measureMemory fails if the sidecar holds too much, idle or with idle tunnels, or if
// Squid holds more for tunnels of sidecars than for those of its tenant's port.
func (c chain) measureMemory(b *testing.B, s site, program string) {
	for b.Loop() {
		plain := startOurs(b, s, oneDomain)
		ofPlain := s.holdTunnels(b, plain, plain.squidProcess)["squid"]
		fresh := startChain(b, startOurs(b, s, oneDomain), program)
		time.Sleep(time.Second)
		idle := fresh.sidecar.memory(b)
		held := s.holdTunnels(b, fresh.sidecar, fresh.squid.squidProcess)
		b.ReportMetric(idle, "MiB-idle")
		b.ReportMetric(held["relay"], "KiB/tunnel")
		b.ReportMetric(held["squid"]/ofPlain, "×plain-squid")
		if idle > maxIdleMemory || held["relay"] > maxTunnelMemory {
			b.Errorf("%.1f MiB idle and %.1f KiB for each idle tunnel, want at most %.0f and %.0f", idle, held["relay"], maxIdleMemory, maxTunnelMemory)
		}
		if held["squid"] > maxSquidMemory*ofPlain {
			b.Errorf("Squid holds %.1f KiB for each idle tunnel of sidecars, and %.1f for one of its port, want at most %.1f times as much", held["squid"], ofPlain, maxSquidMemory)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// holdTunnels opens idle tunnels, and returns the memory that the relay and Squid hold
// for each, in KiB.
func (s site) holdTunnels(b *testing.B, by benchSquid, squid squidProcess) map[string]float64 {
	b.Helper()
	// Buffers and tables that do not grow with tunnels.
	s.openFirst(b, by).Close()
	processes := map[string]squidProcess{"relay": by.squidProcess, "squid": squid}
	before := map[string]float64{}
	for name, process := range processes {
		before[name] = process.memory(b)
	}
	var tunnels []net.Conn
	for range idleTunnels {
		connection, err := s.openTLS(b.Context(), by, 0, 0)
		if err != nil {
			b.Fatal(err)
		}
		tunnels = append(tunnels, connection)
	}
	held := map[string]float64{}
	for name, process := range processes {
		held[name] = (process.memory(b) - before[name]) * 1024 / idleTunnels
	}
	for _, connection := range slices.Backward(tunnels) {
		connection.Close()
	}
	return held
}
