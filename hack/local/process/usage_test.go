package process

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// TestUsage compares the usage of this process with the CPU time and the memory
// that the test uses.
func TestUsage(t *testing.T) {
	self := Process{PID: os.Getpid()}
	usage := func() (time.Duration, int64) {
		cpu, err := self.CPUTime()
		if err != nil {
			t.Fatal(err)
		}
		memory, err := self.Memory()
		if err != nil {
			t.Fatal(err)
		}
		return cpu, memory
	}
	cpu, memory := usage()
	const size = 64 << 20
	held := make([]byte, size)
	for used := cpu; used < cpu+200*time.Millisecond; used, _ = usage() {
		for i := range held {
			held[i]++
		}
	}
	_, after := usage()
	if grown := after - memory; grown < size*9/10 || grown > 2*size {
		t.Errorf("with %d bytes more, the memory grew by %d", size, grown)
	}
	runtime.KeepAlive(held)
	if _, err := (Process{PID: 1 << 30}).CPUTime(); err == nil {
		t.Error("a process that does not exist has used CPU time")
	}
	if _, err := (Process{PID: 1 << 30}).Memory(); err == nil {
		t.Error("a process that does not exist has memory")
	}
}
