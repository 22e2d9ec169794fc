package load_test

import (
	"context"
	"testing"
	"time"

	"egress.scw/hack/local/process"
	"egress.scw/hack/test/load"
)

// TestUsage: the CPU time of an environment's process and that of this process are
// theirs, and that of a process outside is other work.
func TestUsage(t *testing.T) {
	environment, outside := process.Environment(t.TempDir()), process.Environment(t.TempDir())
	for _, each := range []process.Environment{environment, outside} {
		p, err := each.Start(process.Command{Name: "busy", Path: "/bin/sh", Args: []string{"-c", "while :; do :; done"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Stop(context.Background(), 0) })
	}
	before, err := load.Take(environment)
	if err != nil {
		t.Fatal(err)
	}
	// A process that got less than this was hardly run. On a busy machine that takes longer.
	const least = 100 * time.Millisecond
	var usage load.Usage
	loops := 0
	for usage.Wall < 2*time.Second || usage.Wall < time.Minute && min(usage.Processes["busy"], usage.Processes["test"]) < least {
		for range 1_000_000 {
			loops++
		}
		if usage, err = before.Usage(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d loops", loops)
	if usage.Processes["busy"] < least || usage.Processes["test"] < least || usage.Wall < 2*time.Second {
		t.Errorf("the processes are missing: %s", usage)
	}
	if usage.Others < 0.05 || usage.Others > 1 {
		t.Errorf("other work took %f of the machine, beside three busy loops of which one is outside", usage.Others)
	}
	for others, want := range map[float64]time.Duration{0: 9 * time.Second, 0.5: 3 * time.Second, 1: 0} {
		if got := (load.Usage{Others: others}).Alone(9 * time.Second); got != want {
			t.Errorf("9 s beside %.0f %% of other work count as %s, want %s", 100*others, got, want)
		}
	}
}
