package main

import (
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scwfake"
)

// referenceRun returns the resources of an undisturbed run, and its number of requests.
func referenceRun(t *testing.T) (inventory []string, requests int) {
	t.Helper()
	s := newSite(t, baseConfig, scwfake.Options{})
	s.mustRun(t, "apply", "--yes")
	return scwfake.Summary(s.Inventory()), s.Requests()
}

// interruption is an end of a run before its time.
type interruption struct {
	// signal ends a process. 0: the end of the context ends a run in this process.
	signal   syscall.Signal
	position int  // the number of the request
	after    bool // after the request takes effect
}

func (i interruption) String() string {
	how := "the end of the context"
	if i.signal != 0 {
		how = i.signal.String()
	}
	return fmt.Sprintf("%s at request %d (after: %t)", how, i.position, i.after)
}

// interruptions returns all kinds of ends at each of the positions. A process gets SIGINT at
// the first, the middle and the last of them: the signal ends the context, and from there on
// the way is that of a run in this process. What SIGKILL leaves behind only a process shows.
func interruptions(positions []int) map[string][]interruption {
	all := map[string][]interruption{}
	for _, after := range []bool{false, true} {
		killed, interrupted := fmt.Sprintf("%s, after=%t", syscall.SIGKILL, after), fmt.Sprintf("%s, after=%t", syscall.SIGINT, after)
		for i, position := range positions {
			all[killed] = append(all[killed], interruption{syscall.SIGKILL, position, after})
			all[interrupted] = append(all[interrupted], interruption{0, position, after})
			if i == 0 || i == len(positions)/2 || i == len(positions)-1 {
				all[interrupted] = append(all[interrupted], interruption{syscall.SIGINT, position, after})
			}
		}
	}
	return all
}

// run runs the program until the interruption, or to its end if it has fewer requests.
// It returns the exit code, which is -1 for a killed process.
func (i interruption) run(t *testing.T, s *site, shot *sniper, args ...string) (code int, output string) {
	t.Helper()
	defer s.settled()
	if i.signal == 0 {
		code, output = shot.run(t.Context(), s, args...)
	} else {
		cmd, written := s.process(t.Context(), args...)
		err := shot.runProcess(t, i.signal, cmd)
		if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
			t.Fatal(err)
		}
		code, output = cmd.ProcessState.ExitCode(), written.String()
	}
	want := exitInterrupted
	if i.signal == syscall.SIGKILL {
		want = -1
	}
	// Only the number of the requests of a run without end can vary.
	if code != want && (code != exitDone || i.position == 1) {
		t.Errorf("%q with %s: exit code %d, want %d\n%s", args, i, code, want, output)
	}
	return code, output
}

// At each request of an apply and of a destroy, the process is killed, or the run is
// interrupted, before or after the request takes effect. The next run continues, and finds
// all resources of that run.
func TestNextRunContinuesAfterASignal(t *testing.T) {
	t.Parallel()
	want, requests := referenceRun(t)
	var positions []int
	for position := 1; position <= requests+requests/10; position++ { // the number varies
		positions = append(positions, position)
	}
	for name, all := range interruptions(positions) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, i := range all {
				requireNextRunContinues(t, i, want)
			}
		})
	}
}

func requireNextRunContinues(t *testing.T, i interruption, want []string) {
	t.Helper()
	shot := &sniper{position: i.position}
	s := newSite(t, baseConfig, shot.options(i.after))
	for _, command := range []string{"apply", "destroy"} {
		s.ResetCount()
		i.run(t, s, shot, command, "--yes")
		if command == "apply" {
			s.requireConverged(t, want, i.String())
			continue
		}
		s.mustRun(t, "destroy", "--yes")
		if left := s.Inventory(); len(left) > 0 {
			t.Errorf("destroy with %s leaves %v", i, left)
		}
	}
	requireNoLeftovers(t, s.dir)
}

// Two runs that start at the same time create one of each resource. Which of them creates
// which depends on chance, so that there are several attempts, some of them with processes.
// Those of package scaleway take less time, and are more.
func TestTwoRunsAtOnceCreateEachResourceOnce(t *testing.T) {
	t.Parallel()
	const attempts, withProcesses = 20, 4
	want, _ := referenceRun(t)
	for attempt := range attempts {
		t.Run(fmt.Sprintf("attempt %d", attempt+1), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, baseConfig, scwfake.Options{})
			apply := s.run
			if attempt < withProcesses {
				apply = s.runProcess
			}
			var both sync.WaitGroup
			for range 2 {
				both.Go(func() {
					if code, output := apply(t, "apply", "--yes"); code != exitDone {
						t.Errorf("one of two runs: exit code %d\n%s", code, output)
					}
				})
			}
			both.Wait()
			if diff := cmp.Diff(want, scwfake.Summary(s.Inventory())); diff != "" {
				t.Errorf("wrong resources: -want +got\n%s", diff)
			}
			s.mustRun(t, "plan") // exit code 2 if the plan is not empty
		})
	}
}
