package machine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/progress"
)

// suite is the release of Debian that proxies boot: that of the image which
// bootstrap asks Scaleway for.
const suite = "bookworm"

// imagePackages are what makes an image of a server in the cloud of a minimal
// system: among them nothing that cloudinit.Packages names, so that the machine
// installs it all.
func imagePackages() []string {
	return []string{
		"ca-certificates", "cloud-init", "cron", "dbus", "ifupdown", "iproute2", "iputils-ping", "isc-dhcp-client", "kmod",
		"less", "netbase", "openssh-server", "procps", "python3", "sudo", "systemd", "systemd-sysv", "udev",
	}
}

// proxyPackages are all that a proxy may install.
func proxyPackages() []string {
	return append(cloudinit.Packages(), cloudinit.SyslogPackages()...)
}

// locale is the one that every system has: to make others takes a while.
const locale = "locale: C.UTF-8\n"

// patch is a change to a file of the image: what a real one does not need.
type patch struct{ file, from, to string }

func patches() []patch {
	return []patch{{
		// cloud-init 22.4.2 knows the answer of older kernels only: "File
		// exists", when it adds the address of a lease that is there already.
		file: "usr/lib/python3/dist-packages/cloudinit/net/ephemeral.py",
		from: `if "File exists" not in str(e.stderr):`,
		to:   `if "File exists" not in str(e.stderr) and "already assigned" not in str(e.stderr):`,
	}}
}

// RootFS is what machines boot from: made once, never changed.
type RootFS struct {
	// Root is a system as in an image of Debian in Scaleway's cloud.
	Root string
	// Packages is a repository of what such a machine installs, for Repository.
	Packages string
}

// Hold keeps others from removing the root filesystem, as prune does, for as
// long as this process lives. It is an error if it has been removed already.
func (r RootFS) Hold() error {
	folder := filepath.Dir(r.Root)
	// Not by package os, which closes what nobody refers to any more.
	held, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("root filesystem %s: %w", folder, err)
	}
	if err := unix.Flock(held, unix.LOCK_SH); err != nil {
		return errors.Join(fmt.Errorf("root filesystem %s: %w", folder, err), unix.Close(held))
	}
	// While this waited for the lock, its holder may have been removing it.
	now := time.Now()
	if err := os.Chtimes(folder, now, now); err != nil {
		return errors.Join(err, unix.Close(held))
	}
	return nil
}

// MakeRootFS returns the root filesystem, which it makes if the user's cache
// folder does not hold it: in a minute or two, of packages from the sources
// that this machine's own apt has. It is held (Hold).
func MakeRootFS(ctx context.Context, log *progress.Log) (RootFS, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return RootFS{}, fmt.Errorf("no folder to keep the root filesystem in: %w", err)
	}
	cache = filepath.Join(cache, "egress-scw", "machine")
	folder := filepath.Join(cache, recipeHash())
	result := RootFS{Root: filepath.Join(folder, "root"), Packages: filepath.Join(folder, "packages")}
	if err := result.Hold(); !errors.Is(err, fs.ErrNotExist) {
		return result, err
	}
	err = log.Step("root filesystem of the proxy's machine", func() error {
		if err := os.MkdirAll(cache, 0o755); err != nil {
			return err
		}
		unfinished, err := os.MkdirTemp(cache, temporary)
		if err != nil {
			return err
		}
		defer os.RemoveAll(unfinished)
		if err := makeRootFS(ctx, unfinished); err != nil {
			return err
		}
		// Somebody else may have been faster: theirs is as good.
		if err := os.Rename(unfinished, folder); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := result.Hold(); err != nil {
			return err
		}
		return prune(cache)
	})
	return result, err
}

const temporary = ".unfinished-"

// recipeHash covers all that is chosen here. Which versions of packages there
// are is not: they are the release's.
func recipeHash() string {
	hash := sha256.New()
	fmt.Fprintln(hash, suite, imagePackages(), proxyPackages(), patches(), locale, mmdebstrapOptions())
	return hex.EncodeToString(hash.Sum(nil))[:16]
}

func mmdebstrapOptions() []string {
	return []string{
		"--mode=root", "--variant=minbase", "--format=directory", "--include=" + strings.Join(imagePackages(), ","),
		`--aptopt=Acquire::Languages "none"`,
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		// Downloaded by the image's own apt, which knows what it lacks.
		"--customize-hook=chroot \"$1\" apt-get clean",
		"--customize-hook=chroot \"$1\" apt-get --quiet --yes --no-install-recommends --download-only install " + strings.Join(proxyPackages(), " "),
		"--customize-hook=mv \"$1\"/var/cache/apt/archives/*.deb \"$EGRESS_PACKAGES\"",
	}
}

func makeRootFS(ctx context.Context, folder string) error {
	sources, err := aptSources(ctx)
	if err != nil {
		return err
	}
	// Everybody may look into a machine's /, which this becomes.
	if err := os.Chmod(folder, 0o755); err != nil {
		return err
	}
	result := RootFS{Root: filepath.Join(folder, "root"), Packages: filepath.Join(folder, "packages")}
	if err := os.Mkdir(result.Packages, 0o755); err != nil {
		return err
	}
	args := append(mmdebstrapOptions(), suite, result.Root)
	cmd := exec.CommandContext(ctx, "mmdebstrap", append(args, sources...)...)
	cmd.Env = append(os.Environ(), "EGRESS_PACKAGES="+result.Packages)
	// It removes what it has mounted when it is interrupted, and not when it
	// is killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mmdebstrap: %w; the end of what it says:\n%s", err, out[max(0, len(out)-2000):])
	}
	// What it had from this machine.
	for _, name := range []string{"etc/apt/sources.list", "etc/resolv.conf", "etc/hostname"} {
		if err := os.Remove(filepath.Join(result.Root, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(result.Root, "etc/cloud/cloud.cfg.d/90-locale.cfg"), []byte(locale), 0o644); err != nil {
		return err
	}
	for _, p := range patches() {
		if err := p.apply(result.Root); err != nil {
			return err
		}
	}
	return WriteIndex(ctx, result.Packages)
}

func (p patch) apply(root string) error {
	name := filepath.Join(root, p.file)
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if bytes.Count(content, []byte(p.from)) != 1 {
		return fmt.Errorf("%s no longer is what is patched here: there is no %q", p.file, p.from)
	}
	return os.WriteFile(name, bytes.Replace(content, []byte(p.from), []byte(p.to), 1), 0o644)
}

// prune removes what nobody has used for a day, of older recipes mostly, and what
// was never finished. What somebody holds stays, however old it is: a machine may
// run from it.
func prune(cache string) error {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || time.Since(info.ModTime()) < 24*time.Hour {
			continue
		}
		errs = append(errs, removeUnheld(filepath.Join(cache, entry.Name())))
	}
	return errors.Join(errs...)
}

// removeUnheld removes a folder, unless somebody holds it.
func removeUnheld(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	switch err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil
	case err != nil:
		return fmt.Errorf("locking %s: %w", path, err)
	}
	return os.RemoveAll(path)
}

// aptSources returns the sources of the suite that this machine's apt has been
// given, in the form of sources.list.
func aptSources(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Identifier: Packages").Output()
	if err != nil {
		return nil, fmt.Errorf("apt-get indextargets: %w", err)
	}
	sources := suiteSources(string(out))
	if len(sources) == 0 {
		return nil, fmt.Errorf("this machine's apt has no source of Debian's %s", suite)
	}
	return sources, nil
}

// suiteSources picks the suite's sources out of lines "URI RELEASE COMPONENT".
func suiteSources(targets string) []string {
	var sources []string
	for line := range strings.Lines(targets) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "main" {
			continue
		}
		switch fields[1] {
		case suite, suite + "-updates", suite + "-security":
			sources = append(sources, "deb "+strings.Join(fields, " "))
		}
	}
	return sources
}
