package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vbauerster/mpb/v8"
	"gotest.tools/v3/golden"

	"egress.scw/bootstrap/stack"
)

// perform sends the events of a run, at intervals.
func perform(shown progress, cancel func()) {
	gateway := &stack.Step{ID: "gateway", Action: stack.Create, Kind: stack.KindGateway, Name: "egress-production"}
	network := &stack.Step{ID: "gateway-network", Action: stack.Update, Kind: stack.KindGatewayNetwork, Name: "egress-production"}
	server := &stack.Step{ID: "server", Action: stack.Replace, Kind: stack.KindServer, Name: "egress-production-proxy"}
	pool := &stack.Step{ID: "pool", Action: stack.Delete, Kind: stack.KindPool, Role: "old", Name: "old"}
	power := &stack.Step{ID: "power", Action: stack.Create, Kind: stack.KindPower, Name: "egress-production-proxy"}
	event := func(step *stack.Step, phase stack.Phase, detail string, elapsed time.Duration) {
		shown.event(stack.Event{Step: step, Phase: phase, Detail: detail, Elapsed: elapsed})
	}
	event(gateway, stack.Started, "", 0)
	event(pool, stack.Started, "", 0)
	for i := range 8 { // polls every five seconds
		event(gateway, stack.Waiting, "allocating", time.Duration(i)*5*time.Second)
		time.Sleep(5 * time.Second)
	}
	event(gateway, stack.Waiting, "configuring", 40*time.Second)
	time.Sleep(2300 * time.Millisecond)
	event(gateway, stack.Done, "", 42300*time.Millisecond)
	event(network, stack.Started, "", 0)
	event(network, stack.Done, "", 0)
	event(server, stack.Started, "", 0)
	event(server, stack.Failed, "create server (egress-production-proxy): out of stock", time.Second)
	cancel()
	event(pool, stack.Failed, "delete pool/old (old): context canceled", time.Minute)
	event(power, stack.Skipped, "", 0)
	shown.close()
}

func TestLinesGolden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var text strings.Builder
		perform(newLines(ctx, &text), cancel)
		golden.Assert(t, text.String(), "progress.golden.txt")
	})
}

// TestBars draws a run, and checks the lines that stay on the screen.
func TestBars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var text strings.Builder
		perform(newBars(ctx, &text, 6, false, mpb.WithAutoRefresh(), mpb.WithWidth(120)), cancel)
		for _, want := range []string{
			"gateway egress-production: created (42.3s)\n",
			"server egress-production-proxy: failed (1.0s): create server (egress-production-proxy): out of stock\n",
			"pool/old old: cancelled (60.0s)\n",
			"power egress-production-proxy: not started\n",
			"waiting: allocating",
			"5 of 6 steps",
		} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%q is not in\n%s", want, text.String())
			}
		}
		if strings.Contains(text.String(), "\x1b[3") {
			t.Error("unexpected colour")
		}
	})
}

// TestProgressKinds requires bars on terminals only.
func TestProgressKinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		terminal bool
		term     string
		bars     bool
	}{{true, "xterm", true}, {true, "dumb", false}, {false, "xterm", false}} {
		var text strings.Builder
		p := &program{environment: environment{
			stderr: &text, terminals: terminals{stderr: c.terminal},
			getenv: func(name string) string { return map[string]string{"TERM": c.term}[name] },
		}}
		shown := p.newProgress(t.Context(), 1)
		_, isBars := shown.(*bars)
		shown.close()
		if isBars != c.bars {
			t.Errorf("%+v: bars: %t", c, isBars)
		}
	}
}

func TestPainter(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		terminal bool
		env      map[string]string
		want     paint
	}{
		{true, nil, true},
		{false, nil, false},
		{true, map[string]string{"NO_COLOR": "1"}, false},
		{true, map[string]string{"TERM": "dumb"}, false},
	} {
		env := environment{getenv: func(name string) string { return c.env[name] }}
		if got := env.painter(c.terminal); got != c.want {
			t.Errorf("%+v: colour: %t", c, got)
		}
	}
}
