package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"
)

// TestMachinesAreReplaced: with two machines, bootstrap apply replaces one with one of another
// type, and with one of the former type again. A machine is drained before, so that all
// requests succeed.
func TestMachinesAreReplaced(t *testing.T) {
	requireEnvironment(t)
	addMachine(t)
	file := shared.ConfigFile()
	former, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Replace(former, []byte("\n  proxy:\n"), []byte("\n  proxy:\n    type: PLAY2-MICRO\n"), 1)
	if bytes.Equal(former, other) {
		t.Fatalf("%s has no proxy", file)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if err := os.WriteFile(file, former, 0o600); err != nil {
			t.Error(err)
		}
		if out, err := shared.Bootstrap(ctx, replacing()...); err != nil {
			t.Error(err, out)
		}
	})
	// With sidecars, a run replaces one machine. The second run gives the same one its
	// former type, so that there is nothing to replace in the end.
	for _, step := range []struct {
		name   string
		config []byte
	}{{"another type", other}, {"the former type", former}} {
		waitSources(t, 2)
		if err := os.WriteFile(file, step.config, 0o600); err != nil {
			t.Fatal(err)
		}
		checkReplaced(t, step.name)
	}
	checkPlan(t, file)
}

// replacing are the arguments of bootstrap that permit to replace machines.
func replacing() []string {
	return []string{"apply", "--yes", "--allow-replace", "--output", "json", "--config", shared.ConfigFile()}
}

// checkReplaced applies egress.yaml under load, and looks at the requests.
func checkReplaced(t *testing.T, what string) {
	t.Helper()
	// Not from a pod with connections that a lost machine did not answer: see maxStale.
	stop := keepLoading(t, namespaceAlsoA, lostRate/2)
	began := time.Now()
	out, err := shared.Bootstrap(t.Context(), replacing()...)
	took := time.Since(began).Round(time.Second / 10)
	requests := stop()
	var result struct {
		applied

		Postponed []string
	}
	if err == nil {
		err = json.Unmarshal([]byte(out), &result)
	}
	if err != nil {
		t.Fatalf("bootstrap apply, %s: %v\n%s", what, err, out)
	}
	failed, late, sources := 0, 0, map[string]int{}
	for _, r := range requests {
		switch {
		case r.Late:
			late++
		case r.Error != "":
			failed++
			t.Errorf("%s: begun %s after the start: %s", what, r.begun().Sub(began), r.Error)
		default:
			sources[r.Body]++
		}
	}
	t.Logf("%s, in %s: of %d requests, %d failed, %d were late, and by address %v succeeded; postponed: %v",
		what, took, len(requests), failed, late, sources, result.Postponed)
	if len(result.Drained) == 0 {
		t.Errorf("%s: no machine was drained", what)
	}
	for _, machine := range result.Drained {
		if machine.Connections != nil {
			t.Logf("%s: %s was drained, and ended %d open connections", what, machine.Role, *machine.Connections)
		}
		if machine.Problem != "" || machine.Connections == nil {
			t.Errorf("%s: %s did not leave the Services first: %s", what, machine.Role, machine.Problem)
		}
	}
}
