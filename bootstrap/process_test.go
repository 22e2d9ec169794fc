package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

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
		getenv: os.Getenv, login: func() (*account, error) { return impatientLogin(scaleway.FindCredentials) }, checkPlaces: scaleway.CheckPlaces,
		scaleway: impatientOptions(), findKey: scaleway.FindCredentials, enterKey: scaleway.EnterCredentials,
		kubernetes: kubernetesConfig,
	})
	os.Exit(exitCode(os.Stderr, err)) //nolint:gocritic // as main does
}

// asImpatient sets how long the program waits for a response. The default is long
// enough for the slowest machine.
const asImpatient = "BOOTSTRAP_TEST_REQUEST_TIMEOUT"

// impatientLogin is the login of the program, with waits that suit a fake without
// latencies.
func impatientLogin(find func() (scaleway.Credentials, error)) (*account, error) {
	credentials, err := find()
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

// process returns the program as a process that is not started. It is for what only a
// process has: its end by a signal, its environment and its standard streams. All other
// runs are those of run, which do not pay for the start of a process.
func (s *site) process(ctx context.Context, args ...string) (cmd *exec.Cmd, output *bytes.Buffer) {
	cmd = exec.CommandContext(ctx, os.Args[0], withoutWait(args)...)
	cmd.Dir = s.dir
	cmd.Env = []string{
		asProgram + "=1", "HOME=" + s.dir, "SCW_API_URL=" + s.server.URL, "SCW_DEFAULT_PROJECT_ID=" + scwfake.DefaultProjectID,
		"SCW_ACCESS_KEY=" + s.accessKey, "SCW_SECRET_KEY=" + s.secretKey,
	}
	setEnv(cmd, s.env)
	output = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = output, output
	return cmd, output
}

// runProcess runs the program as a process, and returns its exit code and its output.
func (s *site) runProcess(t testing.TB, args ...string) (code int, output string) {
	t.Helper()
	cmd, written := s.process(t.Context(), args...)
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), written.String()
}

// sniper ends a run when the fake serves a certain request: a process by a signal, and a
// run in this process by the end of its context. When at returns, the run sends no further
// requests.
type sniper struct {
	position int

	mutex sync.Mutex
	shoot func()
}

// runProcess starts and waits for a process, which gets a signal at the request. The error
// is nil if the process succeeds.
func (s *sniper) runProcess(t *testing.T, signal syscall.Signal, cmd *exec.Cmd) error {
	t.Helper()
	s.start(t, signal, cmd)
	defer s.aim(nil)
	return cmd.Wait()
}

// start starts a process, and makes it the target.
func (s *sniper) start(t *testing.T, signal syscall.Signal, cmd *exec.Cmd) {
	t.Helper()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.shoot = func() {
		_ = cmd.Process.Signal(signal)
		time.Sleep(5 * time.Millisecond)
	}
}

// run runs the program in this process, and interrupts it at the request.
func (s *sniper) run(ctx context.Context, site *site, args ...string) (code int, output string) {
	ctx, interrupt := context.WithCancel(ctx)
	defer interrupt()
	s.aim(interrupt)
	defer s.aim(nil)
	return site.runUntil(ctx, args...)
}

func (s *sniper) aim(shoot func()) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.shoot = shoot
}

func (s *sniper) at(n int, _ *http.Request) {
	if n != s.position {
		return
	}
	s.mutex.Lock()
	shoot := s.shoot
	s.mutex.Unlock()
	if shoot != nil {
		shoot()
	}
}

// options are those of a fake that shoots before or after the request takes effect.
func (s *sniper) options(after bool) scwfake.Options {
	if after {
		return scwfake.Options{OnReply: s.at}
	}
	return scwfake.Options{OnRequest: s.at}
}
