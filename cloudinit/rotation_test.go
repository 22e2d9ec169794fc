package cloudinit

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestDiskKeepsRoom: the oldest rotated logs are removed until a fifth of the disk
// is free, and no more. The files that Squid writes to are never removed.
func TestDiskKeepsRoom(t *testing.T) {
	// By age, the oldest first, each of 40 KiB.
	logs := []string{"audit.log", "audit.log-20260101-1.gz", "cache.log.2.gz", "audit.log-20260102-2.gz", "cache.log.1", "audit.log-20260103-3", "cache.log"}
	for name, test := range map[string]struct {
		size, free int // KiB
		removed    []string
	}{
		"room":        {1000, 200, nil},
		"little room": {1000, 199, []string{"audit.log-20260101-1.gz"}},
		"less room":   {1000, 120, []string{"audit.log-20260101-1.gz", "cache.log.2.gz"}},
		"full disk":   {1000, 0, []string{"audit.log-20260101-1.gz", "audit.log-20260102-2.gz", "audit.log-20260103-3", "cache.log.1", "cache.log.2.gz"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := newMachineRoot(t, validMachine())
			file := func(log string) string { return filepath.Join(filepath.Dir(AuditLog), log) }
			for i, log := range logs {
				root.write(file(log), strings.Repeat("x", 40<<10))
				then := time.Now().Add(time.Duration(i-len(logs)) * time.Hour)
				if err := os.Chtimes(root.path(file(log)), then, then); err != nil {
					t.Fatal(err)
				}
			}
			root.program("df", fmt.Sprintf("echo 1K-blocks Avail\necho %d %d", test.size, test.free))
			root.run("egress-disk")
			var removed []string
			for _, log := range logs {
				if _, err := os.Stat(root.path(file(log))); err != nil {
					removed = append(removed, log)
				}
			}
			slices.Sort(removed)
			if diff := cmp.Diff(test.removed, removed); diff != "" {
				t.Errorf("removed, -want +got:\n%s", diff)
			}
		})
	}
}

// oldAuditLog is the audit log after its rotation.
const oldAuditLog = AuditLog + "-20260101-1"

// unitRuns makes systemd report this process as the main process of a unit. All
// other units are reported as not running.
func (r *machineRoot) unitRuns(unit string, pid int) {
	r.t.Helper()
	r.write("/bin/systemctl", `#!/bin/bash
[ "${*:1:3}" = 'show --property=MainPID --value' ] || exit 1
cat "`+r.path("/pids")+`/$4" 2> /dev/null || echo 0
`)
	r.write("/pids/"+unit+".service", strconv.Itoa(pid)+"\n")
}

// start runs a program until the test ends, and then ends its children too.
func start(t *testing.T, name string, args ...string) *bufio.Reader {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Wait() }) // killed
	return bufio.NewReader(stdout)
}

// readLine returns the next line that a program prints, without white space.
func readLine(t *testing.T, from *bufio.Reader) string {
	t.Helper()
	line, err := from.ReadString('\n')
	if err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	return strings.TrimSpace(line)
}

// startReader starts a program that takes the place of a reader of the audit log,
// and returns its process ID.
func startReader(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(readLine(t, start(t, "bash", "-c", "echo $$; while :; do sleep 0.05; done")))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// stopped reports whether all threads of a process are stopped.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("process %d has no threads: %v", pid, err)
	}
	return !slices.ContainsFunc(files, func(file string) bool {
		content, err := os.ReadFile(file)
		if err != nil {
			return false // it has ended
		}
		_, state, _ := strings.Cut(string(content[strings.LastIndexByte(string(content), ')'):]), " ")
		return state[0] != 'T'
	})
}

// slowSquid keeps an old log open, and closes it only a second after the signal.
const slowSquid = `
exec 3>> "$1"
trap 'sleep 1; exec 3>&-; touch "$2"' USR1
echo $$
while :; do sleep 0.05; done
`

// TestRotationWaitsForSquid: the readers of the audit log are stopped until Squid
// has closed the old file. The rotation does not wait for programs that only read
// that file.
func TestRotationWaitsForSquid(t *testing.T) {
	root := newMachineRoot(t, validMachine())
	readers := map[string]int{"mtail": startReader(t), "egress-syslog": startReader(t)}
	for unit, pid := range readers {
		root.unitRuns(unit, pid)
	}
	root.write(pidFile, readLine(t, start(t, "bash", "-c", slowSquid, "squid", root.path(oldAuditLog), root.path("/closed")))+"\n")
	file, err := os.Open(root.path(oldAuditLog))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	root.run("egress-rotation", "before")
	for unit, pid := range readers {
		if !stopped(t, pid) {
			t.Errorf("%s is not stopped before a rotation", unit)
		}
	}
	root.run("egress-rotation", "after")
	if _, err := os.Stat(root.path("/closed")); err != nil {
		t.Errorf("the readers continue before Squid has closed the old file: %v", err)
	}
	for unit, pid := range readers {
		if stopped(t, pid) {
			t.Errorf("%s is stopped after a rotation", unit)
		}
	}
}

// TestRotationGoesOnWithoutSquid: if Squid does not close the old file in time,
// the rotation reports that, and the readers continue.
func TestRotationGoesOnWithoutSquid(t *testing.T) {
	root := newMachineRoot(t, validMachine())
	reader := startReader(t)
	root.unitRuns("mtail", reader)
	file, err := os.Create(root.path(oldAuditLog))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	root.run("egress-rotation", "before")
	root.patience = "1" // only now: on a busy machine, the reader takes longer to stop
	if output := root.run("egress-rotation", "after"); !strings.Contains(output, "<4>egress-rotation: Squid still writes to the old audit log") {
		t.Errorf("it prints %q", output)
	}
	if stopped(t, reader) {
		t.Error("the reader is stopped after a rotation")
	}
}

// TestRotationIsPutOff: if a reader does not stop in time, the step before the
// rotation fails, so that logrotate leaves the file in place. All readers run
// again. The reader in this test waits for a child after vfork, which only SIGKILL
// interrupts.
func TestRotationIsPutOff(t *testing.T) {
	clone := map[string]int{"amd64": 56, "arm64": 220}[runtime.GOARCH]
	perl, err := exec.LookPath("perl")
	if err != nil || clone == 0 {
		t.Skip("skipped: there is no perl on this machine (Debian: apt install perl), or no number of the system call clone for " + runtime.GOARCH)
	}
	root := newMachineRoot(t, validMachine())
	root.patience = "1"
	reader := startReader(t)
	root.unitRuns("mtail", reader)
	const vfork = `$| = 1; print "$$\n"; sleep 60 if syscall($ARGV[0], 0x4000 | 17, 0, 0, 0, 0) == 0` // CLONE_VFORK | SIGCHLD
	stuck, err := strconv.Atoi(readLine(t, start(t, perl, "-e", vfork, strconv.Itoa(clone))))
	if err != nil {
		t.Fatal(err)
	}
	root.unitRuns("egress-syslog", stuck)
	output, err := root.command("egress-rotation", "before").CombinedOutput()
	if err == nil || string(output) != "egress-rotation: readers of the audit log do not stop: its rotation is put off\n" {
		t.Errorf("it ends with %v and prints %q", err, output)
	}
	if stopped(t, reader) {
		t.Error("a reader is stopped after a rotation that was put off")
	}
}

// TestRotationStoppedHalfWay: a step that is ended by a signal leaves all readers
// running.
func TestRotationStoppedHalfWay(t *testing.T) {
	root := newMachineRoot(t, validMachine())
	reader := startReader(t)
	root.unitRuns("mtail", reader)
	// This runs between the signal to the reader and the end of the script.
	root.write("/bin/sed", "#!/bin/bash\ntouch "+root.path("/waits")+"\nwhile [ -e "+root.path("/waits")+" ] && [ ! -e "+root.path("/signalled")+" ]; do sleep 0.05; done\n")
	command := root.command("egress-rotation", "before")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(root.path("/waits")); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	root.write("/signalled", "")
	if err := command.Wait(); err == nil {
		t.Error("it succeeds, though it was ended")
	}
	if stopped(t, reader) {
		t.Error("a reader is stopped")
	}
}

// TestRotationByHand: the timer's run, once a minute, resumes the readers when it
// ends. It does not resume them during another rotation, which was started by hand.
func TestRotationByHand(t *testing.T) {
	for name, test := range map[string]struct {
		pgrep   string
		stopped bool
	}{
		"no other rotation":       {"exit 1", false},
		"a rotation is under way": {"exit 0", true},
	} {
		t.Run(name, func(t *testing.T) {
			root := newMachineRoot(t, validMachine())
			reader := startReader(t)
			root.unitRuns("mtail", reader)
			root.program("pgrep", test.pgrep)
			root.run("egress-rotation", "before")
			root.run("egress-rotation", "end")
			if diff := cmp.Diff([]string{"pgrep --exact logrotate"}, root.calls()); diff != "" {
				t.Errorf("calls, -want +got:\n%s", diff)
			}
			if got := stopped(t, reader); got != test.stopped {
				t.Errorf("the reader is stopped: %t, want %t", got, test.stopped)
			}
			_ = syscall.Kill(reader, syscall.SIGCONT)
		})
	}
}

// TestRotationEndsWithReadersThatRun: the readers run after the rotation, with any
// outcome. The sizes of logs are inspected often enough for the disk.
func TestRotationEndsWithReadersThatRun(t *testing.T) {
	config := render(t, validMachine())
	for name, lines := range map[string][]string{
		"/etc/systemd/system/logrotate.service.d/egress.conf": {"ExecStartPre=-/usr/local/sbin/egress-disk", "ExecStopPost=-/usr/local/sbin/egress-rotation end"},
		"/etc/systemd/system/logrotate.timer.d/egress.conf":   {"OnCalendar=", "OnCalendar=minutely", "AccuracySec=5s", "Persistent=false"},
	} {
		for _, line := range lines {
			if !strings.Contains(contentOf(t, config, name), "\n"+line+"\n") {
				t.Errorf("%s: no %s", name, line)
			}
		}
	}
}
