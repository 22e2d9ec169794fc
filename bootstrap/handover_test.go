package main

import (
	"strings"
	"testing"

	"egress.scw/bootstrap/stack"
)

// TestHandoverWithReplacement: a port does not pass to another tenant in the plan that
// replaces the machine, which is the only one that knows the tenant of before.
func TestHandoverWithReplacement(t *testing.T) {
	_, observed := made(t, newSpec(t, baseConfig))
	reused := []string{"name: client-b", "name: client-c"} // on the same port
	if _, err := stack.Diff(newSpec(t, replaced(t, reused...)), observed); err != nil {
		t.Errorf("without a replacement: %v", err)
	}
	_, observed = made(t, newSpec(t, baseConfig))
	_, err := stack.Diff(newSpec(t, replaced(t, append(reused, "proxy:\n", "proxy:\n    type: PLAY2-MICRO\n")...)), observed)
	if err == nil || !strings.Contains(err.Error(), "port 3130 passes from client-b to client-c in a plan that replaces egress-production-proxy") {
		t.Errorf("with a replacement: %v", err)
	}
}
