package cloudinit

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLooksTakeFewProcesses: the machine runs these scripts every few seconds, and processes
// are most of their CPU time. Each bound is the number of processes of a run without a
// change, with those of the programs that tests write.
func TestLooksTakeFewProcesses(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: needs root for process namespaces")
	}
	if _, err := exec.LookPath("unshare"); err != nil {
		t.Skip("skipped: there is no unshare on this machine (Debian: apt install util-linux)")
	}
	for _, test := range []struct {
		script string
		root   func(t *testing.T) *machineRoot
		most   int
	}{
		{"egress-sync", settled, 24},
		{"egress-status", reporting, 9},
		{"egress-sidecars", servingSidecars, 6},
		{"egress-poll", polling, 8},
		{"egress-nics", func(t *testing.T) *machineRoot {
			t.Helper()
			return newNICs(t, SourceFlexibleIP, images["netplan"])
		}, 4},
	} {
		t.Run(test.script, func(t *testing.T) {
			root := test.root(t)
			root.run(test.script)
			root.write("calls", "")
			if n := processes(t, root, test.script); n > test.most {
				t.Errorf("%d processes, want at most %d; it called %q", n, test.most, root.calls())
			}
		})
	}
}

// processes returns the number of processes that a script starts, and its own: the numbers
// of processes in a namespace of their own begin at 1.
func processes(t *testing.T, root *machineRoot, script string) int {
	t.Helper()
	command := root.command(script)
	count := exec.CommandContext(t.Context(), "unshare", append([]string{"--pid", "--fork", "--kill-child", "sh", "-c", `"$@" && sh -c 'echo $$'`, "sh"}, command.Args...)...)
	count.Env = command.Env
	output, err := count.Output()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, output)
	}
	last, err := strconv.Atoi(strings.TrimSpace(string(output)))
	if err != nil {
		t.Fatal(err)
	}
	return last - 2 // the shells before and after it
}

// settled is a machine whose Squid serves the published squid.conf.
func settled(t *testing.T) *machineRoot {
	t.Helper()
	s := newSyncing(t, patient)
	s.publish(conf(s.listen(3, 0), "r1", ""))
	output, _ := s.sync()
	if !strings.Contains(output, "squid.conf is live") {
		t.Fatal(output)
	}
	return s.machineRoot
}

// servingSidecars is a machine whose HAProxy serves some tenants.
func servingSidecars(t *testing.T) *machineRoot {
	t.Helper()
	m := newSidecarMachine(t)
	if diff := cmp.Diff("egress-sidecars: HAProxy serves the sidecars of this squid.conf\n", m.serve(sidecarTenant("client-a", 3129), sidecarTenant("client-b", 3130))); diff != "" {
		t.Fatal(diff)
	}
	return m.machineRoot
}

// reporting is such a machine, whose status has been written.
func reporting(t *testing.T) *machineRoot {
	t.Helper()
	root := servingSidecars(t)
	root.run("egress-status")
	if _, err := os.Stat(root.path("sent")); err != nil {
		t.Fatal(err)
	}
	return root
}

// polling is a machine that has seen its addresses and its user data.
func polling(t *testing.T) *machineRoot {
	t.Helper()
	root := newSources(t)
	root.write("/var/lib/egress/addresses.json", "{}")
	root.write("/run/egress/value", "{}")
	root.program("curl", "echo '{}'")
	return root
}
