package cloudinit

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLimitsIgnoreTheClock: a time limit neither passes nor stays because the clock is set,
// forwards or backwards. Bash counts $SECONDS by that clock.
func TestLimitsIgnoreTheClock(t *testing.T) {
	root := newMachineRoot(t, validMachine())
	for _, jump := range []string{"1000000", "-1000000"} {
		command := exec.CommandContext(t.Context(), "bash", "-euc", `. "$EGRESS_ROOT`+commonScript+`"
future=$(deadline 600) past=$(deadline 0)
SECONDS=`+jump+`
! over "$future" && over "$past"`)
		command.Env = append(command.Environ(), "EGRESS_ROOT="+root.dir)
		if output, err := command.CombinedOutput(); err != nil {
			t.Errorf("a jump by %s s: %v: %s", jump, err, output)
		}
	}
}

// TestNewFileSurvivesAJumpOfTheClock: while Squid does not serve its new file yet, the clock is
// set forwards by a day. The file is live nevertheless, and not refused for an hour.
func TestNewFileSurvivesAJumpOfTheClock(t *testing.T) {
	s := newSyncing(t, "")
	s.program("systemctl")
	// egress-sync waits by these calls alone between two looks at its ports.
	s.write("clock.sh", `sleep() {
  [ "$1" = 0.2 ] || return 0
  looks=$((${looks:-0} + 1)) SECONDS=86400
  [ "$looks" -lt 2 ] || cp "$EGRESS_ROOT`+liveConf+`" "$EGRESS_ROOT/serving"
}
`)
	s.publish(conf(s.listen(1, 0), "a1", ""))
	command := s.command("egress-sync")
	command.Env = append(command.Env, "BASH_ENV="+s.path("clock.sh"))
	if output, err := command.CombinedOutput(); err != nil || !strings.Contains(string(output), "squid.conf is live") {
		t.Errorf("it ends with %v, and prints %s", err, output)
	}
}
