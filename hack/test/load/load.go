// Package load measures the CPU time of an environment's processes beside the
// other work of the machine.
package load

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"egress.scw/hack/local/process"
)

// Sample is a reading of the clocks of an environment's processes and of the
// machine.
type Sample struct {
	environment process.Environment
	at          time.Time
	// processes are the CPU times of the environment's processes, by name, and
	// of this process.
	processes map[string]time.Duration
	// busy and idle are the CPU times of the machine.
	busy, idle time.Duration
}

// Usage is the difference of two samples.
type Usage struct {
	// Wall is the time between the samples.
	Wall time.Duration
	// Processes are the CPU times of the environment's processes, by name, and
	// of this process, as "test".
	Processes map[string]time.Duration
	// Others is the part of the machine's CPU time that other work took, from 0
	// to 1.
	Others float64
}

// Take reads the clocks.
func Take(environment process.Environment) (Sample, error) {
	sample := Sample{environment: environment, at: time.Now(), processes: map[string]time.Duration{}}
	running, err := environment.List()
	if err != nil {
		return sample, err
	}
	for _, p := range append(running, process.Process{Name: "test", PID: os.Getpid()}) {
		used, err := p.CPUTime()
		if errors.Is(err, os.ErrNotExist) {
			continue // it has ended meanwhile
		}
		if err != nil {
			return sample, err
		}
		sample.processes[p.Name] += used
	}
	sample.busy, sample.idle, err = machine()
	return sample, err
}

// Usage returns what was used since the sample.
func (s Sample) Usage() (Usage, error) {
	now, err := Take(s.environment)
	if err != nil {
		return Usage{}, err
	}
	usage := Usage{Wall: now.at.Sub(s.at), Processes: map[string]time.Duration{}}
	others := now.busy - s.busy
	for name, used := range now.processes {
		usage.Processes[name] = used - s.processes[name]
		others -= usage.Processes[name]
	}
	if total := now.busy - s.busy + now.idle - s.idle; total > 0 {
		usage.Others = max(0, float64(others)/float64(total))
	}
	return usage, nil
}

// Alone estimates how long something that took a time would have taken without
// the other work. That work leaves less CPU time, and the same work then costs more
// of it, because caches and the threads of a core are shared: on a full machine up
// to twice as much (measured: 1.6 times, for requests to an API server).
func (u Usage) Alone(took time.Duration) time.Duration {
	return time.Duration(float64(took) * (1 - u.Others) / (1 + u.Others))
}

// String lists the processes that used CPU time.
func (u Usage) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(u.Processes)) {
		if used := u.Processes[name]; used >= 50*time.Millisecond {
			parts = append(parts, fmt.Sprintf("%s %.2f s", name, used.Seconds()))
		}
	}
	return fmt.Sprintf("CPU time within %.1f s: %s; other work took %.0f %% of the machine", u.Wall.Seconds(), strings.Join(parts, ", "), 100*u.Others)
}

// machine reads the first line of /proc/stat (proc(5)): user, nice, system, idle,
// iowait, irq, softirq, steal. Time that the hypervisor took is busy.
func machine() (busy, idle time.Duration, err error) {
	const tick = time.Second / 100
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, fmt.Errorf("/proc/stat: unexpected format: %q", line)
	}
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i == 3 || i == 4 {
			idle += time.Duration(ticks) * tick
		} else {
			busy += time.Duration(ticks) * tick
		}
	}
	return busy, idle, nil
}
