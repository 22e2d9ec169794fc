package squid

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// processes returns the folders of Squid and its helpers in /proc.
func (s squidProcess) processes(b *testing.B) []string {
	b.Helper()
	self := fmt.Sprintf("/proc/%d", s.pid)
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		b.Fatal(err)
	}
	return slices.DeleteFunc(folders, func(folder string) bool {
		status, _ := os.ReadFile(folder + "/status") // fails for a process that has just ended
		return folder != self && !strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", s.pid))
	})
}

// cpu is the CPU time of Squid and its helpers, in user mode and in system mode.
// schedstat has the sum of both in nanoseconds, whereas /proc/PID/stat has each
// in units of 10 ms.
func (s squidProcess) cpu(b *testing.B) time.Duration {
	b.Helper()
	var sum time.Duration
	for _, folder := range s.processes(b) {
		threads, err := filepath.Glob(folder + "/task/*/schedstat")
		if err != nil || len(threads) == 0 {
			b.Fatalf("%s: no threads: %v", folder, err)
		}
		for _, thread := range threads {
			text, err := os.ReadFile(thread)
			if err != nil {
				b.Fatal(err)
			}
			var nanoseconds time.Duration
			if _, err := fmt.Sscan(string(text), (*int64)(&nanoseconds)); err != nil {
				b.Fatalf("%s: %v", thread, err)
			}
			sum += nanoseconds
		}
	}
	return sum
}

// memory is the resident set size (RSS) of Squid and its helpers, in MiB.
func (s squidProcess) memory(b *testing.B) float64 {
	b.Helper()
	sum := 0.0
	for _, folder := range s.processes(b) {
		text, err := os.ReadFile(folder + "/status")
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\nVmRSS:")
		var kilobytes float64
		if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
			b.Fatalf("%s: %v", folder, err)
		}
		sum += kilobytes / 1024
	}
	return sum
}
