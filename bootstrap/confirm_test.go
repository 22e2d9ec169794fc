package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"egress.scw/bootstrap/stack"
)

func TestConfirm(t *testing.T) {
	t.Parallel()
	const ordinary, replacing, nothing, destroying = "create", "replace", "nothing", "destroy"
	const replacement = "the plan replaces server egress-production-proxy: with --yes, this also needs --allow-replace"
	for _, c := range []struct {
		plan     string
		flags    string
		terminal bool
		answer   string
		want     string // part of the error; empty: the plan is executed
		asked    string
	}{
		{plan: ordinary, flags: "--yes"},
		{plan: ordinary, flags: "-y"},
		{plan: ordinary, terminal: true, answer: "yes\n", asked: "Apply this plan?"},
		{plan: ordinary, terminal: true, answer: "  yes\r\n", asked: "Apply this plan?"},
		{plan: ordinary, terminal: true, answer: "y\n", want: "not confirmed"},
		{plan: ordinary, terminal: true, answer: "YES\n", want: "not confirmed"},
		{plan: ordinary, terminal: true, answer: "", want: "not confirmed"},
		{plan: ordinary, answer: "yes\n", want: "use --yes"},
		{plan: replacing, flags: "--yes", want: replacement},
		{plan: replacing, flags: "--yes --allow-replace"},
		{plan: replacing, terminal: true, answer: "yes\n", asked: "REPLACE server egress-production-proxy?"},
		{plan: replacing, flags: "--allow-replace", answer: "yes\n", want: "use --yes"},
		{plan: nothing},
		{plan: destroying, flags: "--yes"},
		{plan: destroying, terminal: true, answer: "production\n", asked: "type the name of the stack (production)"},
		{plan: destroying, terminal: true, answer: "yes\n", want: "not confirmed"},
		{plan: destroying, answer: "production\n", want: "use --yes"},
	} {
		spec := newSpec(t, baseConfig)
		_, observed := made(t, spec)
		command := "apply"
		switch c.plan {
		case ordinary:
			observed = &stack.Observed{}
		case replacing:
			observed.Resources = without(observed.Resources, stack.KindRegistry)
			for _, r := range observed.Resources {
				if server, ok := r.(*stack.Server); ok {
					server.Type = "PLAY2-MICRO"
				}
			}
		case destroying:
			command = "destroy"
		}
		var did bool
		s := newSession(t, baseConfig)
		s.stdin, s.terminals.stdin = c.answer, c.terminal
		s.cloud = &stubCloud{observed: observed, kubeconfig: scalewayKubeconfig("production", "one"), create: func(context.Context, stack.Resource) error {
			did = true
			return errors.New("as far as the test goes")
		}}
		got := s.run(t.Context(), append([]string{command, "--parallelism=1"}, strings.Fields(c.flags)...)...)
		if want := c.want == "" && c.plan != nothing; did != want {
			t.Errorf("%+v: executed: %t, want %t\n%s", c, did, want, got.stderr)
		}
		if c.want != "" && !strings.Contains(got.stderr, c.want) || !strings.Contains(got.stderr, c.asked) {
			t.Errorf("%+v: standard error is\n%s", c, got.stderr)
		}
		if c.want != "" && got.code != exitFailed {
			t.Errorf("%+v: exit code %d", c, got.code)
		}
	}
}

func without(resources []stack.Resource, kind stack.Kind) []stack.Resource {
	var kept []stack.Resource
	for _, r := range resources {
		if r.Key().Kind != kind {
			kept = append(kept, r)
		}
	}
	return kept
}

// TestConfirmInterrupted ends the context while the question waits.
func TestConfirmInterrupted(t *testing.T) {
	t.Parallel()
	silent, writer := io.Pipe()
	defer writer.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	p := &program{environment: environment{stdin: silent, stderr: io.Discard, terminals: terminals{stdin: true}}}
	if err := p.ask(ctx, "", "yes"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
