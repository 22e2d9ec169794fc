package process_test

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"egress.scw/hack/local/process"
)

func TestStartListStop(t *testing.T) {
	environment, other := temporary(t), temporary(t)

	stubborn := []string{"-c", `trap "" TERM; echo up; while :; do sleep 0.05; done`}
	started, err := environment.Start(process.Command{Name: "stubborn", Path: "/bin/sh", Args: stubborn})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := environment.Start(process.Command{Name: "sleeper (odd) name", Path: "/bin/sleep", Args: []string{"300"}}); err != nil {
		t.Fatal(err)
	}
	foreign, err := other.Start(process.Command{Name: "stubborn", Path: "/bin/sleep", Args: []string{"300"}})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "output in the log", func() bool {
		log, _ := os.ReadFile(environment.LogFile("stubborn"))
		return string(log) == "up\n"
	})

	if got := names(t, environment); !slices.Contains(got, "stubborn") || !slices.Contains(got, "sleeper (odd) name") {
		t.Errorf("List: %q", got)
	}
	all, err := process.Environments()
	if err != nil || !slices.Contains(all, environment) || !slices.Contains(all, other) {
		t.Errorf("Environments: %q, %v; want %q and %q among them", all, err, environment, other)
	}
	if err := environment.Stop(t.Context(), 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if got := names(t, environment); len(got) > 0 {
		t.Errorf("after Stop: %q still run", got)
	}
	if started.Alive() {
		t.Error("a stopped process is reported as alive")
	}
	if !foreign.Alive() {
		t.Error("Stop ended a process of another environment")
	}
}

func temporary(t *testing.T) process.Environment {
	t.Helper()
	environment, err := process.Temporary()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return environment
}

func names(t *testing.T, e process.Environment) []string {
	t.Helper()
	processes, err := e.List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range processes {
		names = append(names, p.Name)
	}
	return names
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s after a minute", what)
		}
	}
}

// A process that replaces itself repeatedly shows no variables in between. It
// is found all the same.
func TestListFindsProcessesInTheMiddleOfAnExec(t *testing.T) {
	environment := temporary(t)
	loop := `n=$1; [ "$n" -eq 0 ] && exec sleep 300; exec /bin/sh -c "$0" "$0" $((n-1))`
	if _, err := environment.Start(process.Command{Name: "changeling", Path: "/bin/sh", Args: []string{"-c", loop, loop, "1000"}}); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if got := names(t, environment); !slices.Equal(got, []string{"changeling"}) {
			t.Fatalf("List: %q", got)
		}
	}
}
