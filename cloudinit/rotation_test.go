package cloudinit

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// logScript returns a folder with one of the scripts for Squid's logs, changed
// to work on those in the folder itself.
func logScript(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	config := render(t, validVM())
	replacer := strings.NewReplacer("/usr/local/lib/egress/common.sh", dir+"/common.sh", valuesFile, dir+"/values", PIDFile, dir+"/squid.pid",
		filepath.Dir(AuditLog)+"/", dir+"/")
	for file, from := range map[string]string{"values": valuesFile, "common.sh": "/usr/local/lib/egress/common.sh", name: scriptFolder + "/" + name} {
		writeProgram(t, filepath.Join(dir, file), replacer.Replace(contentOf(t, config, from)))
	}
	return dir
}

func writeProgram(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func runIn(t *testing.T, dir string, argv ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "bash", append([]string{filepath.Join(dir, argv[0])}, argv[1:]...)...)
	command.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

// TestDiskKeepsRoom: for a fifth of the disk to be free, the oldest of the old
// logs go, and no more; those that are written to never do.
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
			dir := logScript(t, "egress-disk")
			for i, log := range logs {
				writeProgram(t, filepath.Join(dir, log), strings.Repeat("x", 40<<10))
				then := time.Now().Add(time.Duration(i-len(logs)) * time.Hour)
				if err := os.Chtimes(filepath.Join(dir, log), then, then); err != nil {
					t.Fatal(err)
				}
			}
			writeProgram(t, filepath.Join(dir, "df"), fmt.Sprintf("#!/bin/sh\necho 1K-blocks Avail\necho %d %d\n", test.size, test.free))
			runIn(t, dir, "egress-disk")
			var removed []string
			for _, log := range logs {
				if _, err := os.Stat(filepath.Join(dir, log)); err != nil {
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

// slowSquid has an old log open, which it closes only a second after it was
// told to.
const slowSquid = `
cd "$1"
exec 3>> audit.log-20260101-1
trap 'sleep 1; echo closed >> calls; exec 3>&-' USR1
echo $$ > squid.pid
echo ready
while :; do sleep 0.05; done
`

// TestRotationWaitsForSquid: readers of the audit log go on once Squid has closed
// the old file. Whoever only reads it is not waited for.
func TestRotationWaitsForSquid(t *testing.T) {
	dir := logScript(t, "egress-rotation")
	writeProgram(t, filepath.Join(dir, "systemctl"), fmt.Sprintf("#!/bin/sh\necho \"$*\" >> %s/calls\n", dir))
	squid := exec.CommandContext(t.Context(), "bash", "-c", slowSquid, "squid", dir)
	stdout, err := squid.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := squid.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = squid.Wait() }) // killed
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	reader, err := os.Open(filepath.Join(dir, "audit.log-20260101-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()

	runIn(t, dir, "egress-rotation", "before")
	runIn(t, dir, "egress-rotation", "after")
	calls, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	want := `kill --kill-whom=main --signal=STOP mtail.service
kill --kill-whom=main --signal=STOP egress-syslog.service
closed
kill --kill-whom=main --signal=CONT mtail.service
kill --kill-whom=main --signal=CONT egress-syslog.service
`
	if diff := cmp.Diff(want, string(calls)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestRotationOfSomebodyElse: the timer's, which comes every minute, lets the
// readers go when it ends, but not in the middle of one that was begun by hand.
func TestRotationOfSomebodyElse(t *testing.T) {
	for name, test := range map[string]struct {
		pgrep, want string
	}{
		"nobody rotates": {"false", "kill --kill-whom=main --signal=CONT mtail.service\nkill --kill-whom=main --signal=CONT egress-syslog.service\n"},
		"somebody does":  {"true", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := logScript(t, "egress-rotation")
			writeProgram(t, filepath.Join(dir, "systemctl"), fmt.Sprintf("#!/bin/sh\necho \"$*\" >> %s/calls\n", dir))
			writeProgram(t, filepath.Join(dir, "pgrep"), "#!/bin/sh\n[ \"$*\" = '--exact logrotate' ] && "+test.pgrep+"\n")
			writeProgram(t, filepath.Join(dir, "calls"), "")
			runIn(t, dir, "egress-rotation", "end")
			calls, err := os.ReadFile(filepath.Join(dir, "calls"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(calls)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestRotationEndsWithReadersThatRun: whatever has become of it, and looks at
// the logs' sizes often enough for the disk.
func TestRotationEndsWithReadersThatRun(t *testing.T) {
	config := render(t, validVM())
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
