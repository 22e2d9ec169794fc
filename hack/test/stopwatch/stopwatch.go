// Package stopwatch measures times that the product promises, on machines that
// have other work as well.
package stopwatch

import (
	"os"
	"regexp"
	"strconv"
	"time"
)

// Stopwatch measures the time since Start, without the time in which a process
// of this machine waited for a CPU: on a busy machine that time depends on the
// other work, and not on the product.
type Stopwatch struct {
	start  time.Time
	stalls time.Duration
}

// Start returns a stopwatch that runs.
func Start() Stopwatch { return Stopwatch{time.Now(), stalls()} }

// Elapsed returns the measured time. It is at most the time since Start.
func (s Stopwatch) Elapsed() time.Duration { return time.Since(s.start) - (stalls() - s.stalls) }

var total = regexp.MustCompile(`(?m)^some .*total=(\d+)$`)

// stalls is the time since the start of the machine in which at least one
// process waited for a CPU (PSI). It is 0 if the kernel does not measure it.
func stalls() time.Duration {
	content, err := os.ReadFile("/proc/pressure/cpu")
	if err != nil {
		return 0
	}
	match := total.FindSubmatch(content)
	if match == nil {
		return 0
	}
	microseconds, err := strconv.ParseInt(string(match[1]), 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(microseconds) * time.Microsecond
}
