package proxy

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"egress.scw/hack/local/machine"
	"egress.scw/webhook/api/v1alpha1"
)

// checkUpgrade publishes new versions of packages as Debian does, and starts
// the machine's nightly timers: both packages are installed, and our files are
// kept. A reboot that a package requires is delayed to its hour.
func (w *world) checkUpgrade(t *testing.T, vm *machine.VM, tenants []v1alpha1.Tenant) {
	t.Helper()
	// The first package contains a changed version of a file that we have
	// replaced. The second is stopped by its own scripts when it is upgraded.
	versions := map[string]string{
		"squid-openssl": w.publishNewer(t, "squid-openssl", "etc/logrotate.d/squid"),
		"mtail":         w.publishNewer(t, "mtail", ""),
	}
	writeRelease(t, w.updates)
	in(t, vm, "sh", "-c", "echo 'deb [trusted=yes] http://"+packageName+"/updates ./' > /etc/apt/sources.list.d/updates.list")
	in(t, vm, "touch", "/run/reboot-required")
	before := in(t, vm, "sha256sum", "/etc/squid/squid.conf", "/etc/logrotate.d/squid")
	squid := in(t, vm, "systemctl", "show", "--property=MainPID", "squid")

	in(t, vm, "systemctl", "start", "apt-daily.service")
	in(t, vm, "systemctl", "start", "apt-daily-upgrade.service")

	for name, want := range versions {
		if got := in(t, vm, "dpkg-query", "--show", "--showformat=${Version} ${Status}", name); got != want+" install ok installed" {
			log, _ := vm.Exec(t.Context(), "tail", "-n", "40", "/var/log/unattended-upgrades/unattended-upgrades.log", "/var/log/unattended-upgrades/unattended-upgrades-dpkg.log")
			t.Fatalf("%s is %q, want version %s installed; the log:\n%s", name, got, want, log)
		}
	}
	if after := in(t, vm, "sha256sum", "/etc/squid/squid.conf", "/etc/logrotate.d/squid"); after != before {
		t.Errorf("files of ours, before:\n%s\nafter:\n%s", before, after)
	}
	if again := in(t, vm, "systemctl", "show", "--property=MainPID", "squid"); again == squid {
		t.Errorf("it is the same Squid process as before, %s: the upgrade did not restart it", again)
	}
	checkServices(t, vm)
	checkRevisions(t, tenants)

	planned := in(t, vm, "cat", "/run/systemd/shutdown/scheduled")
	match := regexp.MustCompile(`(?m)^USEC=(\d+)\d{6}$`).FindStringSubmatch(planned)
	if match == nil || !strings.Contains(planned, "MODE=reboot") {
		t.Fatalf("no reboot is planned: %q", planned)
	}
	if at := in(t, vm, "date", "--utc", "--date=@"+match[1], "+%H:%M"); at != "04:00" {
		t.Errorf("the reboot is planned for %s UTC, want 04:00", at)
	}
	in(t, vm, "shutdown", "-c")
}

// publishNewer adds a newer version of a package to the updates, in which one
// of its files has another line, and returns the version.
func (w *world) publishNewer(t *testing.T, name, changed string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.rootfs.Packages, name+"_*.deb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("packages %s: %q, %v", name, files, err)
	}
	tree := filepath.Join(t.TempDir(), name)
	execute(t, "", "dpkg-deb", "--raw-extract", files[0], tree)
	version := strings.TrimSpace(execute(t, "", "dpkg-deb", "--field", files[0], "Version"))
	newer := version + "+egress1"
	rewrite(t, filepath.Join(tree, "DEBIAN", "control"), "Version: "+version+"\n", "Version: "+newer+"\n")
	if changed != "" {
		rewrite(t, filepath.Join(tree, changed), "\n", "\n# of the newer version\n")
	}
	execute(t, "", "dpkg-deb", "--build", tree, filepath.Join(w.updates, name+".deb"))
	return newer
}

// rewrite replaces the first of these strings in a file.
func rewrite(t *testing.T, name, from, to string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), from) {
		t.Fatalf("%s has no %q", name, from)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(content), from, to, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeRelease makes the packages in a folder those of Debian's security team.
func writeRelease(t *testing.T, folder string) {
	t.Helper()
	if err := machine.WriteIndex(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(filepath.Join(folder, "Packages"))
	if err != nil {
		t.Fatal(err)
	}
	release := fmt.Sprintf("Origin: Debian\nLabel: Debian-Security\nCodename: bookworm-security\nDate: %s\nSHA256:\n %x %d Packages\n",
		time.Now().UTC().Format(time.RFC1123), sha256.Sum256(index), len(index))
	if err := os.WriteFile(filepath.Join(folder, "Release"), []byte(release), 0o644); err != nil {
		t.Fatal(err)
	}
}
