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

// checkUpgrade publishes new versions of packages as Debian does, and starts the
// machine's nightly timers: all packages are installed, and our files are kept. Squid
// is restarted once, and runs the new program then. A reboot that a package requires is
// delayed to its hour.
func (w *world) checkUpgrade(t *testing.T, vm *machine.VM, tenants []v1alpha1.Tenant) {
	t.Helper()
	versions := w.publishUpgrade(t)
	w.writeRelease(t)
	in(t, vm, "sh", "-c", "echo 'deb [trusted=yes] http://"+packageName+"/updates ./' > /etc/apt/sources.list.d/updates.list")
	in(t, vm, "touch", "/run/reboot-required")
	before := in(t, vm, "sha256sum", "/etc/squid/squid.conf", "/etc/logrotate.d/squid")
	since := "@" + in(t, vm, "date", "+%s")

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
	program := in(t, vm, "sh", "-c", "readlink /proc/$(systemctl show --property=MainPID --value squid)/exe")
	if strings.HasSuffix(program, "(deleted)") {
		t.Errorf("Squid runs %s: the upgrade has not replaced it", program)
	}
	checkOutdated(t, vm, 0)
	w.checkServices(t, vm)
	checkRevisions(t, tenants)
	eventually(t, "one start of Squid by the upgrade", func() error { // the journal may be late
		starts, err := vm.Exec(t.Context(), "journalctl", "--unit=squid", "--since="+since, "--output=short-precise", "--grep=^Started ")
		if count := strings.Count(starts, "Started "); err == nil && count != 1 {
			err = fmt.Errorf("there are %d:\n%s", count, starts)
		}
		return err
	})

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

// publishUpgrade publishes newer packages, and returns their versions by name. One
// contains a changed version of a file that we have replaced. mtail is stopped by its
// own scripts when it is upgraded.
func (w *world) publishUpgrade(t *testing.T) map[string]string {
	t.Helper()
	versions := map[string]string{"mtail": w.publishNewer(t, "mtail", nil)}
	const replaced = "etc/logrotate.d/squid"
	changed := func(tree string) { rewrite(t, filepath.Join(tree, replaced), "\n", "\n# of the newer version\n") }
	if w.image.Release == machine.Bookworm {
		versions["squid-openssl"] = w.publishNewer(t, "squid-openssl", changed)
		return versions
	}
	// The package with the program is unpacked after the one with the unit is
	// configured.
	versions["squid"] = w.publishNewer(t, "squid", changed)
	versions["squid-openssl"] = w.publishNewer(t, "squid-openssl", func(tree string) {
		rewrite(t, filepath.Join(tree, "DEBIAN", "control"), "Pre-Depends: squid (>= "+strings.TrimSuffix(versions["squid"], newer)+")", "Pre-Depends: squid (>= "+versions["squid"]+")")
	})
	return versions
}

// newer is the end of the version of a newer package.
const newer = "+egress1"

// publishNewer adds a newer version of a package, with changes of its files unless nil,
// to the updates, and returns the version.
func (w *world) publishNewer(t *testing.T, name string, change func(tree string)) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.rootfs.Packages, name+"_*.deb"))
	if err != nil || len(files) != 1 {
		t.Fatalf("packages %s: %q, %v", name, files, err)
	}
	tree := filepath.Join(t.TempDir(), name)
	execute(t, "", "dpkg-deb", "--raw-extract", files[0], tree)
	version := strings.TrimSpace(execute(t, "", "dpkg-deb", "--field", files[0], "Version"))
	rewrite(t, filepath.Join(tree, "DEBIAN", "control"), "Version: "+version+"\n", "Version: "+version+newer+"\n")
	if change != nil {
		change(tree)
	}
	execute(t, "", "dpkg-deb", "--build", tree, filepath.Join(w.updates, name+".deb"))
	return version + newer
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

// writeRelease makes the updates those of Debian's security team.
func (w *world) writeRelease(t *testing.T) {
	t.Helper()
	folder := w.updates
	if err := machine.WriteIndex(t.Context(), folder); err != nil {
		t.Fatal(err)
	}
	index, err := os.ReadFile(filepath.Join(folder, "Packages"))
	if err != nil {
		t.Fatal(err)
	}
	release := fmt.Sprintf("Origin: Debian\nLabel: Debian-Security\nCodename: %s-security\nDate: %s\nSHA256:\n %x %d Packages\n",
		w.image.Release, time.Now().UTC().Format(time.RFC1123), sha256.Sum256(index), len(index))
	if err := os.WriteFile(filepath.Join(folder, "Release"), []byte(release), 0o644); err != nil {
		t.Fatal(err)
	}
}
