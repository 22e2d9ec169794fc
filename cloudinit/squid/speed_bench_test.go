package squid

import (
	"context"
	"slices"
	"testing"
)

// Limits of our configuration's cost, as a multiple of another configuration's. They hold
// for Squid 6.13 of Debian 13, where reading the TLS hello alone takes 1.25 times the CPU
// time of a tunnel, and ours 1.4 to 1.5 times. A plain request takes 0.65 times.
const (
	maxCPUOfBare    = 1.6 // for each request, with 50 tenants
	maxCPUOfPeeking = 1.3
	maxCPUOfDomains = 1.1 // for each request, with 10,000 domains instead of 50
	maxMemoryOfBare = 1.3 // with 1,000 idle tunnels
)

const (
	benchTenants = 50
	benchDomains = 200 // of each tenant
	benchClients = 8
	idleTunnels  = 1000
)

// BenchmarkAgainstBare compares our configuration with one that allows
// everything: one port, no rules, Squid's own log. Tunnels are also compared with those
// of a Squid that reads the TLS hello in each, as ours must, and has no rules either.
func BenchmarkAgainstBare(b *testing.B) {
	site := startSite(b)
	ours, bare, peeking := startOurs(b, site, oneDomain), startBare(b, site), startPeeking(b, site)
	requireAudited(b, site, ours)
	b.Run("CONNECT", func(b *testing.B) { compareCPU(b, site.tunnel, ours, bare, maxCPUOfBare) })
	b.Run("CONNECTPeeking", func(b *testing.B) { compareCPU(b, site.tunnel, ours, peeking, maxCPUOfPeeking) })
	b.Run("GET", func(b *testing.B) { compareCPU(b, site.get, ours, bare, maxCPUOfBare) })
}

// BenchmarkDomains compares the same requests with tenants that list 200 domains
// each and with tenants that list one domain for all hosts.
func BenchmarkDomains(b *testing.B) {
	site := startSite(b)
	many, few := startOurs(b, site, everyDomain), startOurs(b, site, oneDomain)
	b.Run("CONNECT", func(b *testing.B) { compareCPU(b, site.tunnel, many, few, maxCPUOfDomains) })
	b.Run("GET", func(b *testing.B) { compareCPU(b, site.get, many, few, maxCPUOfDomains) })
}

// BenchmarkIdleTunnels compares the memory of Squids that have only idle tunnels
// open.
func BenchmarkIdleTunnels(b *testing.B) {
	site := startSite(b)
	squids := []benchSquid{startOurs(b, site, oneDomain), startBare(b, site), startPeeking(b, site)}
	for b.Loop() {
		var before, after [3]float64
		for i, squid := range squids {
			before[i] = squid.memory(b)
			tunnels := site.open(b, squid, idleTunnels)
			after[i] = squid.memory(b)
			for _, tunnel := range tunnels {
				tunnel.Close()
			}
		}
		ratio := after[0] / after[1]
		for i, squid := range squids {
			b.ReportMetric(after[i], "MiB/"+squid.name)
			b.ReportMetric(after[i]-before[i], "MiB-tunnels/"+squid.name)
		}
		b.ReportMetric(ratio, "×bare")
		b.ReportMetric(after[0]/after[2], "×peeking")
		if ratio > maxMemoryOfBare {
			b.Errorf("%.2f times the memory of the bare configuration, want at most %.1f", ratio, maxMemoryOfBare)
		}
	}
	b.ReportMetric(0, "ns/op") // ns/op would measure the opening of tunnels
}

// BenchmarkReconfigure measures how long Squid does not answer new connections

// compareCPU fails the benchmark if the CPU time of a request to one Squid
// exceeds this multiple of the CPU time of a request to the other. The two
// alternate, so that other load on the machine slows both.
func compareCPU(b *testing.B, ask func(context.Context, benchSquid, int) (int, error), ours, other benchSquid, limit float64) {
	const rounds = 21
	for _, squid := range []benchSquid{ours, other} {
		squid.cpuPerRequest(b, ask) // opens connections and fills caches beforehand
	}
	for b.Loop() {
		var oursTook, otherTook, ratios []float64
		for range rounds {
			one, two := ours.cpuPerRequest(b, ask), other.cpuPerRequest(b, ask)
			oursTook, otherTook, ratios = append(oursTook, one), append(otherTook, two), append(ratios, one/two)
		}
		ratio := median(ratios)
		b.ReportMetric(median(oursTook), "µs-CPU/"+ours.name)
		b.ReportMetric(median(otherTook), "µs-CPU/"+other.name)
		b.ReportMetric(ratio, "×"+other.name)
		if ratio > limit {
			b.Errorf("%.2f times the CPU time of %s, want at most %.1f", ratio, other.name, limit)
		}
	}
	b.ReportMetric(0, "ns/op") // the ns/op of both together is meaningless
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
