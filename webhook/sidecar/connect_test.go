package main

import "testing"

// TestProgramConnects: the sidecar connects before the pod's programs ask for it. A
// machine that does not answer is known by then.
func TestProgramConnects(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	if err := p.machine(t).Listener.Close(); err != nil {
		t.Fatal(err)
	}
	p.mount(t)
	p.awaitLines(t, "a proxy machine is passed over", 1)
}
