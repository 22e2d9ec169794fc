package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"egress.scw/bootstrap/stack"
)

// someCommands are the commands that send requests to Scaleway.
func someCommands() []string { return []string{"", "apply", "plan", "destroy", "status"} }

func args(command string, more ...string) []string {
	if command == "" {
		return more
	}
	return append([]string{command}, more...)
}

// TestOfflineErrors requires all errors at once, before the first request to
// Scaleway.
func TestOfflineErrors(t *testing.T) {
	t.Parallel()
	for _, command := range someCommands() {
		s := newSession(t, replaced(t, "zone: fr-par-1", "zone: fr-par-9", "port: 3129", "port: 80", "172.16.28.8", "172.16.99.8"))
		s.login = func() (*account, error) {
			return nil, errors.Join(errors.New("credentials: no access key"), errors.New("credentials: no secret key"))
		}
		got := s.run(t.Context(), args(command, "--output=yaml", "--timeout=-1s")...)
		if got.code != exitFailed || got.stdout != "" {
			t.Errorf("%q: exit code %d, output %q", command, got.code, got.stdout)
		}
		for _, want := range []string{
			`Error: --output: is "yaml", must be table or json`, "Error: --timeout: is -1s",
			"Error: egress.yaml:", "spec.tenants[0].proxy.port", "spec.proxy.privateIP",
			"Error: spec.zone: there is no zone fr-par-9", "Error: credentials: no access key", "Error: credentials: no secret key",
		} {
			if !strings.Contains(got.stderr, want) {
				t.Errorf("%q: standard error lacks %q:\n%s", command, want, got.stderr)
			}
		}
		for line := range strings.Lines(got.stderr) {
			if !strings.HasPrefix(line, "Error: ") {
				t.Errorf("%q: the line %q is not an error", command, line)
			}
		}
	}
}

func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ args, want string }{
		{"plam", "Did you mean this?\n\tplan"},
		{"plan now", `unknown command "now"`},
		{"plan --yes", "unknown flag: --yes (see bootstrap plan --help)"},
		{"status --allow-replace", "unknown flag"},
		{"apply --parallelism=0", "--parallelism: is 0, must be 1 to 64"},
		{"apply --parallelism=65", "--parallelism: is 65, must be 1 to 64"},
		{"apply --parallelism=many", "--parallelism"},
		{"apply --timeout=soon", "--timeout"},
		{"render --only=everything", `--only: is "everything", must be user-data or squid-conf or values`},
		{"render --output=json", "unknown flag"},
	} {
		s := newSession(t, baseConfig)
		s.cloud = &stubCloud{observed: &stack.Observed{}}
		got := s.run(t.Context(), strings.Fields(c.args)...)
		if got.code != exitFailed || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: exit code %d and %q, want 1 and %q", c.args, got.code, got.stderr, c.want)
		}
		if strings.Contains(got.stderr, "Usage:") || got.stdout != "" {
			t.Errorf("%s: prints usage or output: %s%s", c.args, got.stdout, got.stderr)
		}
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	s := &session{folder: t.TempDir()}
	got := s.run(t.Context(), "plan")
	if want := "Error: --config: the file egress.yaml does not exist: bootstrap init writes one\n"; got.stderr != want {
		t.Errorf("got %q, want %q", got.stderr, want)
	}
}

func TestMissingProject(t *testing.T) {
	t.Parallel()
	s := newSession(t, baseConfig)
	s.login = func() (*account, error) { return &account{}, nil }
	if got := s.run(t.Context(), "plan"); !strings.Contains(got.stderr, "egress.yaml: spec.project: is required") {
		t.Errorf("got %q", got.stderr)
	}
}

func TestPlanExitCodes(t *testing.T) {
	t.Parallel()
	_, all := made(t, newSpec(t, baseConfig))
	for _, c := range []struct {
		name  string
		cloud *stubCloud
		want  int
	}{
		{"nothing to do", &stubCloud{observed: all}, exitDone},
		{"something to do", &stubCloud{observed: &stack.Observed{}}, exitChanges},
		{"a plan that would fail", &stubCloud{observed: &stack.Observed{}, checked: errors.New("sold out")}, exitFailed},
		{"nothing to do, whatever is sold out", &stubCloud{observed: all, checked: errors.New("sold out")}, exitDone},
	} {
		for _, output := range outputs() {
			s := newSession(t, baseConfig)
			s.cloud = c.cloud
			got := s.run(t.Context(), "plan", "--output", output)
			if got.code != c.want {
				t.Errorf("%s: exit code %d, want %d: %s", c.name, got.code, c.want, got.stderr)
			}
			if got.stdout == "" {
				t.Errorf("%s: no plan", c.name)
			}
			if strings.Contains(got.stderr, "Error") != (c.want == exitFailed) {
				t.Errorf("%s: standard error is %q", c.name, got.stderr)
			}
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{nil, 0, ""},
		{errChanges, 2, ""},
		{errors.New("broken"), 1, "Error: broken\n"},
		{errors.Join(errors.New("a"), errors.Join(errors.New("b"), nil)), 1, "Error: a\nError: b\n"},
		{&unfinished{}, 130, "interrupted: run the same command again to continue\n"},
		{&unfinished{failures: errors.New("broken")}, 130, "Error: broken\ninterrupted: run the same command again to continue\n"},
		{&unfinished{timeout: 90 * time.Second}, 1, "Error: not finished within 1m30s (--timeout): run the same command again to continue\n"},
	} {
		var text strings.Builder
		if code := exitCode(&text, c.err); code != c.code || text.String() != c.want {
			t.Errorf("%v: exit code %d and %q, want %d and %q", c.err, code, text.String(), c.code, c.want)
		}
	}
}

// TestInterruption interrupts a run in which one step waits and another one has
// failed.
func TestInterruption(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"apply", "destroy"} {
		_, observed := made(t, newSpec(t, baseConfig))
		if command == "apply" {
			observed = &stack.Observed{}
		}
		ctx, interrupt := context.WithCancel(t.Context())
		defer interrupt()
		s := newSession(t, baseConfig)
		s.cloud = &stubCloud{observed: observed, create: func(ctx context.Context, r stack.Resource) error {
			switch r.Key().Kind {
			case stack.KindRegistry:
				return errors.New("the name is taken")
			case stack.KindGateway, stack.KindGatewayNetwork:
				interrupt()
				<-ctx.Done()
				return fmt.Errorf("waiting: %w", context.Cause(ctx))
			default:
				<-ctx.Done()
				return context.Cause(ctx)
			}
		}}
		got := s.run(ctx, command, "--yes", "--parallelism=64")
		if got.code != exitInterrupted {
			t.Errorf("%s: exit code %d, want %d", command, got.code, exitInterrupted)
		}
		if !strings.HasSuffix(got.stderr, "interrupted: run the same command again to continue\n") {
			t.Errorf("%s: standard error is\n%s", command, got.stderr)
		}
		if strings.Contains(got.stderr, "Error: ") && !strings.Contains(got.stderr, "(example-production): the name is taken") {
			t.Errorf("%s: a cancelled step is reported as an error:\n%s", command, got.stderr)
		}
		if strings.Contains(got.stderr, "context canceled") {
			t.Errorf("%s: the cancellation itself is reported:\n%s", command, got.stderr)
		}
		if !strings.Contains(got.stdout, "failed or cancelled") {
			t.Errorf("%s: no summary in\n%s", command, got.stdout)
		}
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	s := newSession(t, baseConfig)
	s.cloud = &stubCloud{observed: &stack.Observed{}, create: func(ctx context.Context, _ stack.Resource) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	got := s.run(t.Context(), "--yes", "--timeout=50ms")
	if got.code != exitFailed || !strings.HasSuffix(got.stderr, "Error: not finished within 50ms (--timeout): run the same command again to continue\n") {
		t.Errorf("exit code %d, standard error\n%s", got.code, got.stderr)
	}
}

// TestHelp requires an explanation and an example for every command.
func TestHelp(t *testing.T) {
	t.Parallel()
	root := newRootCommand(environment{})
	commands := append(root.Commands(), root)
	if len(commands) != 10 {
		t.Errorf("%d commands", len(commands))
	}
	for _, command := range commands {
		if command.Short == "" || command.Long == "" || command.Example == "" || command.RunE == nil {
			t.Errorf("%s has no explanation or example", command.CommandPath())
		}
		for line := range strings.Lines(command.Long + "\n" + command.Example) {
			if len(line) > 81 {
				t.Errorf("%s: the line %q is wider than a terminal", command.CommandPath(), line)
			}
		}
	}
	s := newSession(t, baseConfig)
	if got := s.run(t.Context(), "completion", "bash"); got.code != exitDone || !strings.Contains(got.stdout, "bash completion") {
		t.Errorf("completion: exit code %d, %s", got.code, got.stderr)
	}
	if got := s.run(t.Context(), "version"); got.code != exitDone || strings.TrimSpace(got.stdout) == "" {
		t.Errorf("version: exit code %d, %q", got.code, got.stdout)
	}
}
