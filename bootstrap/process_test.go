package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scaleway"
	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// asProgram makes the test binary run the program, so that tests can start and
// kill it as a process.
const asProgram = "BOOTSTRAP_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, environment{
		args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		getenv: os.Getenv, login: impatientLogin, checkPlaces: scaleway.CheckPlaces,
		scaleway: impatientOptions(), kubernetes: kubernetesConfig,
	})
	os.Exit(exitCode(os.Stderr, err)) //nolint:gocritic // as main does
}

// asImpatient sets how long the program waits for a response. The default is long
// enough for the slowest machine.
const asImpatient = "BOOTSTRAP_TEST_REQUEST_TIMEOUT"

// impatientLogin is the login of the program, with waits that suit a fake without
// latencies.
func impatientLogin() (*account, error) {
	credentials, err := scaleway.FindCredentials()
	if err != nil {
		return nil, err
	}
	connect := func(ctx context.Context, spec stack.Spec) (stack.Cloud, error) {
		return scaleway.New(ctx, credentials, spec, impatientOptions())
	}
	return &account{credentials.ProjectID, connect}, nil
}

func impatientOptions() scaleway.Options {
	timeout, err := time.ParseDuration(os.Getenv(asImpatient))
	if err != nil {
		timeout = 30 * time.Second
	}
	return scaleway.Options{
		UserAgent: "egress-bootstrap/test", RequestTimeout: timeout,
		RetryFirst: 2 * time.Millisecond, RetryLongest: 200 * time.Millisecond, // another run that is waited for may not get the CPU
		PollFirst: 2 * time.Millisecond, PollLongest: 10 * time.Millisecond,
	}
}

// Keys that must not appear in any output. They are well-formed, and not in use.
const (
	canaryAccessKey = "SCWCANARYCANARYCANAR"
	canarySecretKey = "c0ffee00-dead-4bee-8f00-5ca1ab1e0000"
)

// site is a project at a fake API, and a folder with an egress.yaml.
type site struct {
	*scwfake.API

	dir    string
	server *httptest.Server
}

func newSite(t testing.TB, config string, options scwfake.Options) *site {
	t.Helper()
	options.Token, options.AccessKey = canarySecretKey, canaryAccessKey
	api := scwfake.New(options)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "egress.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &site{api, dir, httptest.NewServer(api)}
	t.Cleanup(func() {
		s.Close()
		s.server.CloseClientConnections()
		s.server.Close()
	})
	return s
}

// settled waits until all requests have taken effect, including those of a killed
// process. Later requests use another address.
func (s *site) settled() {
	s.server.Close()
	s.server = httptest.NewServer(s.server.Config.Handler)
}

// process returns the program as a process that is not started. Its apply does not wait:
// the fake servers have no machines that report.
func (s *site) process(ctx context.Context, args ...string) (cmd *exec.Cmd, output *bytes.Buffer) {
	if args[0] == "apply" {
		args = append(args, "--wait=false")
	}
	cmd = exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Dir = s.dir
	cmd.Env = []string{
		asProgram + "=1", "HOME=" + s.dir, "SCW_API_URL=" + s.server.URL, "SCW_DEFAULT_PROJECT_ID=" + scwfake.DefaultProjectID,
		"SCW_ACCESS_KEY=" + canaryAccessKey, "SCW_SECRET_KEY=" + canarySecretKey,
	}
	output = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = output, output
	return cmd, output
}

// run runs the program, and returns its exit code and its output.
func (s *site) run(t testing.TB, args ...string) (code int, output string) {
	t.Helper()
	cmd, written := s.process(t.Context(), args...)
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), written.String()
}

func (s *site) mustRun(t testing.TB, args ...string) string {
	t.Helper()
	code, output := s.run(t, args...)
	if code != exitDone {
		t.Fatalf("bootstrap %v: exit code %d\n%s", args, code, output)
	}
	return output
}

// requireConverged runs apply, and requires exactly the expected resources, and
// an empty plan.
func (s *site) requireConverged(t *testing.T, want []string, after string) {
	t.Helper()
	s.mustRun(t, "apply", "--yes")
	if diff := cmp.Diff(want, scwfake.Summary(s.Inventory())); diff != "" {
		t.Errorf("wrong resources after %s: -want +got\n%s", after, diff)
	}
	s.mustRun(t, "plan") // exit code 2 if the plan is not empty
}

// referenceRun returns the resources of an undisturbed run, and an upper bound of
// its number of requests.
func referenceRun(t *testing.T) (inventory []string, requests int) {
	t.Helper()
	s := newSite(t, baseConfig, scwfake.Options{})
	s.mustRun(t, "apply", "--yes")
	return scwfake.Summary(s.Inventory()), s.Requests() + s.Requests()/10
}

// At each request of an apply and of a destroy, the process is killed or
// interrupted, before or after the request takes effect. The next run continues,
// and finds all resources of the killed run.
func TestNextRunContinuesAfterASignal(t *testing.T) {
	t.Parallel()
	want, requests := referenceRun(t)
	for _, c := range []struct {
		signal syscall.Signal
		after  bool
	}{{syscall.SIGKILL, false}, {syscall.SIGKILL, true}, {syscall.SIGINT, false}, {syscall.SIGINT, true}} {
		t.Run(fmt.Sprintf("%s, after=%t", c.signal, c.after), func(t *testing.T) {
			t.Parallel()
			for position := 1; position <= requests; position++ {
				signalled(t, c.signal, c.after, position, want)
			}
		})
	}
}

func signalled(t *testing.T, signal syscall.Signal, after bool, position int, want []string) {
	t.Helper()
	shot := &sniper{signal: signal, position: position}
	options := scwfake.Options{OnRequest: shot.at}
	if after {
		options = scwfake.Options{OnReply: shot.at}
	}
	s := newSite(t, baseConfig, options)
	what := fmt.Sprintf("%s at request %d (after: %t)", signal, position, after)

	for _, command := range []string{"apply", "destroy"} {
		s.ResetCount()
		cmd, output := s.process(t.Context(), command, "--yes")
		shot.aim(t, cmd)
		err := cmd.Wait()
		shot.rest()
		s.settled()
		code := cmd.ProcessState.ExitCode()
		switch {
		case err == nil: // the run had fewer requests
		case signal == syscall.SIGINT && code != exitInterrupted:
			t.Errorf("%s with %s: exit code %d\n%s", command, what, code, output)
		}
		if command == "apply" {
			s.requireConverged(t, want, what)
			continue
		}
		s.mustRun(t, "destroy", "--yes")
		if left := s.Inventory(); len(left) > 0 {
			t.Errorf("destroy with %s leaves %v", what, left)
		}
	}
	requireNoLeftovers(t, s.dir)
}

// sniper sends a signal to a process when the fake serves a certain request. When
// at returns, a killed process sends no further requests.
type sniper struct {
	signal   syscall.Signal
	position int

	mutex   sync.Mutex
	process *os.Process
}

// aim starts the process, and makes it the target.
func (s *sniper) aim(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.process = cmd.Process
}

func (s *sniper) rest() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.process = nil
}

func (s *sniper) at(n int, _ *http.Request) {
	if n != s.position {
		return
	}
	s.mutex.Lock()
	process := s.process
	s.mutex.Unlock()
	if process != nil {
		_ = process.Signal(s.signal)
		time.Sleep(5 * time.Millisecond)
	}
}

// requireNoLeftovers requires a folder with complete outputs and without
// temporary files, beside the files of the test.
func requireNoLeftovers(t *testing.T, dir string, own ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	want := append([]string{"egress.yaml", "kubeconfig.yaml", "values.yaml"}, own...)
	slices.Sort(want)
	if !slices.Equal(want, names) {
		t.Errorf("the folder contains %q, want %q", names, want)
	}
}

// Two processes that start at the same time create one of each resource. Which of
// them creates which depends on chance, so that there are several attempts. Those of package
// scaleway take less time, and are more.
func TestTwoRunsAtOnceCreateEachResourceOnce(t *testing.T) {
	t.Parallel()
	const attempts = 20
	want, _ := referenceRun(t)
	for attempt := range attempts {
		t.Run(fmt.Sprintf("attempt %d", attempt+1), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, baseConfig, scwfake.Options{})
			s.applyTwiceAtOnce(t)
			if diff := cmp.Diff(want, scwfake.Summary(s.Inventory())); diff != "" {
				t.Errorf("wrong resources: -want +got\n%s", diff)
			}
			s.mustRun(t, "plan") // exit code 2 if the plan is not empty
		})
	}
}

// applyTwiceAtOnce runs two processes at the same time, and requires that both
// succeed.
func (s *site) applyTwiceAtOnce(t *testing.T) {
	t.Helper()
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if code, output := s.run(t, "apply", "--yes"); code != exitDone {
				t.Errorf("one of two runs: exit code %d\n%s", code, output)
			}
		})
	}
	both.Wait()
}
