package capture

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/miekg/dns"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// TestListenersTakeLittleMemory: all names that a table can have, with their listeners,
// take less than 4 MiB of the process. The kernel's part is not measured.
func TestListenersTakeLittleMemory(t *testing.T) { // not parallel: it measures the process
	f := newCapture(t, testConfig(machinetest.FreePort(t)))
	f.resolve(t, "first.example")
	before := inUse()
	for i := range mostListeners - 1 {
		f.resolve(t, fmt.Sprintf("n%d.example", i))
	}
	if names := f.Stats().Names; names != mostListeners {
		t.Fatalf("%d names, want %d", names, mostListeners)
	}
	used := inUse() - before
	t.Logf("%d bytes for each of %d listeners", used/mostListeners, mostListeners)
	if used > 4<<20 {
		t.Errorf("%d bytes for %d listeners", used, mostListeners)
	}
}

func inUse() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapInuse + stats.StackInuse)
}

// TestKnownNameIsCheap: the answer to a name that has an address takes few allocations.
// BenchmarkKnownName measures its time.
func TestKnownNameIsCheap(t *testing.T) { // not parallel: it measures the process
	f := newCapture(t, testConfig(machinetest.FreePort(t)))
	f.resolve(t, "api.example.com")
	query := new(dns.Msg).SetQuestion("api.example.com.", dns.TypeA).SetEdns0(1232, false)
	if allocs := testing.AllocsPerRun(100, func() { f.answer(t.Context(), query) }); allocs > 12 {
		t.Errorf("%v allocations", allocs)
	}
}
