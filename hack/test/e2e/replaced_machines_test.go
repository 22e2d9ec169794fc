package e2e

import (
	"bytes"
	"os"
	"testing"
	"time"
)

// With two machines, bootstrap apply replaces one with one of another type. It is drained
// before, so that all requests succeed. The type stays: with sidecars, a run replaces one
// machine, and the way back would boot a machine for the same steps again.
func testReplaced(t *testing.T) {
	waitSources(t, 2)
	_, former := serverOf(t, "egress-local-proxy")
	changeType(t)
	checkReplaced(t)
	if _, server := serverOf(t, "egress-local-proxy"); server.CommercialType == former.CommercialType {
		t.Errorf("the machine has the type %s, as before", server.CommercialType)
	}
}

// changeType writes another type of machines to egress.yaml than it has.
func changeType(t *testing.T) {
	t.Helper()
	const other = "    type: PLAY2-MICRO\n"
	content, err := os.ReadFile(shared.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content, []byte(other)) {
		change(t, shared.ConfigFile(), other, "")
	} else {
		change(t, shared.ConfigFile(), "\n  proxy:\n", "\n  proxy:\n"+other)
	}
}

// checkReplaced applies egress.yaml under load, and looks at the requests.
func checkReplaced(t *testing.T) {
	t.Helper()
	// Not from a pod with connections that a lost machine did not answer: see maxStale.
	stop := keepLoading(t, namespaceAlsoA, lostRate/2, drainedPatience)
	began := time.Now()
	result := apply(t, shared.ConfigFile(), "--allow-replace")
	took := time.Since(began).Round(time.Second / 10)
	requests := stop()
	failed, late, sources := 0, 0, map[string]int{}
	for _, r := range requests {
		switch {
		case r.Late:
			late++
		case r.Error != "":
			failed++
			t.Errorf("begun %s after the start: %s", r.begun().Sub(began), r.Error)
		default:
			sources[r.Body]++
		}
	}
	t.Logf("in %s: of %d requests, %d failed, %d were late, and by address %v succeeded; postponed: %v",
		took, len(requests), failed, late, sources, result.Postponed)
	if len(result.Drained) == 0 {
		t.Error("no machine was drained")
	}
	for _, machine := range result.Drained {
		if machine.Connections != nil {
			t.Logf("%s was drained, and ended %d open connections", machine.Role, *machine.Connections)
		}
		if machine.Problem != "" || machine.Connections == nil {
			t.Errorf("%s did not leave the Services first: %s", machine.Role, machine.Problem)
		}
	}
}
