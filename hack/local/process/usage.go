package process

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"time"
)

// clockTick is the unit of the CPU times of processes, on all platforms of Linux
// (USER_HZ).
const clockTick = time.Second / 100

// CPUTime returns the CPU time that the process has used, without that of its
// children.
func (p Process) CPUTime() (time.Duration, error) {
	fields, err := readStat(p.PID)
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, field := range []int{14, 15} { // utime, stime
		n, err := strconv.ParseInt(fields[field-firstField], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: field %d: %w", p.PID, field, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

var resident = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// Memory returns the resident memory of the process, in bytes.
func (p Process) Memory() (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return 0, err
	}
	match := resident.FindSubmatch(content)
	if match == nil {
		return 0, fmt.Errorf("/proc/%d/status: no VmRSS", p.PID)
	}
	kibibytes, err := strconv.ParseInt(string(match[1]), 10, 64)
	return kibibytes << 10, err
}
