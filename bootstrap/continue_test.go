package main

import (
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scwfake"
)

// reference returns the resources of an undisturbed apply.
func reference(t *testing.T) []string {
	t.Helper()
	s := newSite(t, baseConfig, scwfake.Options{})
	s.mustRun(t, "apply", "--yes")
	return scwfake.Summary(s.Inventory())
}

// newSiteFor is a site in which a command can run: a stack exists for destroy.
func newSiteFor(t *testing.T, command string, options scwfake.Options) *site {
	t.Helper()
	s := newSite(t, baseConfig, options)
	if command == "destroy" {
		s.mustRun(t, "apply", "--yes")
	}
	s.ResetCount()
	return s
}

// requestsOf returns the numbers of the requests of a command, and those of them at which
// the end of a process can leave another state than at the first one: all but the reads
// before the first change. Some more than those of an undisturbed run are included, because
// their number varies.
func requestsOf(t *testing.T, command string) (all, distinct []int) {
	t.Helper()
	s := newSiteFor(t, command, scwfake.Options{})
	s.mustRun(t, command, "--yes")
	calls := s.Calls()
	change := slices.IndexFunc(calls, func(call scwfake.Call) bool { return call.Method != http.MethodGet })
	if change < 0 {
		t.Fatalf("%s changes nothing: %v", command, calls)
	}
	for position := 1; position <= len(calls)+len(calls)/10; position++ {
		all = append(all, position)
		if position == 1 || position >= change-change/10 {
			distinct = append(distinct, position)
		}
	}
	return all, distinct
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

// interruptions returns the ends at positions, by the name of the test. Only a process shows
// what SIGKILL leaves behind. A process gets SIGINT at the first position, in the middle and
// at one of the last ones that each run reaches: the signal ends the context, and from there
// on the way is that of a run in this process.
func interruptions(interrupted, killed []int) map[string][]interruption {
	all := map[string][]interruption{}
	for _, after := range []bool{false, true} {
		name := fmt.Sprintf("%s, after=%t", syscall.SIGKILL, after)
		for _, position := range killed {
			all[name] = append(all[name], interruption{syscall.SIGKILL, position, after})
		}
		name = fmt.Sprintf("%s, after=%t", syscall.SIGINT, after)
		for i, position := range interrupted {
			all[name] = append(all[name], interruption{0, position, after})
			if i == 0 || i == len(interrupted)/2 || i == len(interrupted)*9/10-1 {
				all[name] = append(all[name], interruption{syscall.SIGINT, position, after})
			}
		}
	}
	return all
}

// run runs the program until the interruption, or to its end if it has fewer requests.
// It returns the exit code, which is -1 for a killed process, when all its requests have
// taken effect.
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
	// A run that has fewer requests than usual succeeds.
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
	want := reference(t)
	for _, command := range []string{"apply", "destroy"} {
		for name, all := range interruptions(requestsOf(t, command)) {
			t.Run(command+", "+name, func(t *testing.T) {
				t.Parallel()
				for _, i := range all {
					requireNextRunContinues(t, command, i, want)
				}
			})
		}
	}
}

func requireNextRunContinues(t *testing.T, command string, i interruption, want []string) {
	t.Helper()
	shot := &sniper{position: i.position}
	s := newSiteFor(t, command, shot.options(i.after))
	i.run(t, s, shot, command, "--yes")
	if command == "apply" {
		s.requireConverged(t, want, i.String())
	}
	s.mustRun(t, "destroy", "--yes")
	if left := s.Inventory(); len(left) > 0 {
		t.Errorf("%s with %s: destroy leaves %v", command, i, left)
	}
	requireNoLeftovers(t, s.dir)
}

// Two runs that start at the same time create one of each resource. Which of them creates
// which depends on chance, so that there are several attempts, some of them with processes.
// Those of package scaleway take less time, and are more.
func TestTwoRunsAtOnceCreateEachResourceOnce(t *testing.T) {
	t.Parallel()
	const attempts, withProcesses = 20, 4
	want := reference(t)
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
