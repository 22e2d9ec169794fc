package node

import (
	"os/exec"
	"syscall"
	"testing"
)

// The error about a process that has ended names its exit status, or the signal.
func TestEndOf(t *testing.T) {
	for script, want := range map[string]string{"exit 3": "exit status 3", "kill -KILL $$": "the signal killed"} {
		command := exec.CommandContext(t.Context(), "sh", "-c", script)
		_ = command.Run() // it fails
		status, ok := command.ProcessState.Sys().(syscall.WaitStatus)
		if got := endOf(status); !ok || got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
}
