package netpol

import (
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An enforcer that is started again keeps the rules of the one before it, and adds none.
func TestRulesOfAnEnforcerBefore(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: needs root for a network namespace")
	}
	if _, err := exec.LookPath("iptables-nft"); err != nil {
		t.Skipf("skipped: %v (Debian: apt install iptables)", err)
	}
	runtime.LockOSThread() // without an end: the thread and its network namespace end with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	e := Enforcer{PodCIDR: netip.MustParsePrefix("10.244.0.0/16")}
	var first []string
	for range 2 {
		if err := e.queuePackets(t.Context()); err != nil {
			t.Fatal(err)
		}
		output, err := exec.CommandContext(t.Context(), "iptables-nft", "-w", "-t", "mangle", "-S").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		rules := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(output)), "\n"), func(rule string) bool { return !strings.HasPrefix(rule, "-A ") })
		if first == nil {
			first = rules
		}
		if len(rules) != 4 || !slices.Equal(rules, first) {
			t.Errorf("the rules are %q, want four, and each time the same", rules)
		}
	}
}
