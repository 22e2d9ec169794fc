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

// suite is the Debian release of the proxies: that of the image that bootstrap
// requests from Scaleway.
const suite = "bookworm"

// imagePackages turn a minimal system into a cloud server's image. None of them
// is in cloudinit.Packages, so that the machine installs all of those.
var imagePackages = []string{
	"ca-certificates", "cloud-init", "cron", "dbus", "ifupdown", "iproute2", "iputils-ping", "isc-dhcp-client", "kmod",
	"less", "netbase", "openssh-server", "procps", "python3", "sudo", "systemd", "systemd-sysv", "udev",
}

// proxyPackages are all packages that a proxy may install.
func proxyPackages() []string {
	return append(cloudinit.Packages(), cloudinit.SyslogPackages()...)
}

// locale is the locale that every system has: generating another one takes a
// while.
const locale = "locale: C.UTF-8\n"

// patch is a change to a file of the image that a real machine does not need.
type patch struct{ file, from, to string }

var patches = []patch{{
	// cloud-init 22.4.2 knows only the answer of older kernels, "File
	// exists", when it adds the address of a lease that exists already.
	file: "usr/lib/python3/dist-packages/cloudinit/net/ephemeral.py",
	from: `if "File exists" not in str(e.stderr):`,
	to:   `if "File exists" not in str(e.stderr) and "already assigned" not in str(e.stderr):`,
}}

// RootFS is the root filesystem of machines: made once, never changed.
type RootFS struct {
	// Root is the folder of a system like that in Scaleway's Debian image.
	Root string
	// Packages is the folder with the packages that such a machine
	// installs, for Repository.
	Packages string
}

// Hold keeps other programs from removing the root filesystem (prune) while
// this process lives. It is an error if it has been removed already.
func (r RootFS) Hold() error {
	folder := filepath.Dir(r.Root)
	// Not with package os, which closes files that are no longer
	// referenced.
	held, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("root filesystem %s: %w", folder, err)
	}
	if err := unix.Flock(held, unix.LOCK_SH); err != nil {
		return errors.Join(fmt.Errorf("root filesystem %s: %w", folder, err), unix.Close(held))
	}
	// While this call waited for the lock, its holder may have removed the
	// folder.
	now := time.Now()
	if err := os.Chtimes(folder, now, now); err != nil {
		return errors.Join(err, unix.Close(held))
	}
	return nil
}

// MakeRootFS returns the root filesystem. If the user's cache folder does not
// contain it, MakeRootFS makes it in a minute or two, from packages of the
// sources that this machine's apt has. It is held (Hold).
func MakeRootFS(ctx context.Context, log *progress.Log) (RootFS, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return RootFS{}, fmt.Errorf("finding the user's cache folder for the root filesystem: %w", err)
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
		// Another program may have been faster: its result is as good.
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

// recipeHash covers all choices made here. It does not cover the packages'
// versions: the release determines them.
func recipeHash() string {
	hash := sha256.New()
	fmt.Fprintln(hash, suite, imagePackages, proxyPackages(), patches, locale, mmdebstrapOptions())
	return hex.EncodeToString(hash.Sum(nil))[:16]
}

func mmdebstrapOptions() []string {
	return []string{
		"--mode=root", "--variant=minbase", "--format=directory", "--include=" + strings.Join(imagePackages, ","),
		`--aptopt=Acquire::Languages "none"`,
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		// The image's own apt downloads them: it knows which packages
		// the image lacks.
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
	// The folder becomes the machine's /, which every user may read.
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
	// mmdebstrap removes its mounts when it is interrupted, but not when it
	// is killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mmdebstrap: %w; the end of its output:\n%s", err, out[max(0, len(out)-2000):])
	}
	// Files that came from this machine.
	for _, name := range []string{"etc/apt/sources.list", "etc/resolv.conf", "etc/hostname"} {
		if err := os.Remove(filepath.Join(result.Root, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(result.Root, "etc/cloud/cloud.cfg.d/90-locale.cfg"), []byte(locale), 0o644); err != nil {
		return err
	}
	for _, p := range patches {
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
		return fmt.Errorf("%s: expected %q exactly once; adapt the patch to the new version", p.file, p.from)
	}
	return os.WriteFile(name, bytes.Replace(content, []byte(p.from), []byte(p.to), 1), 0o644)
}

// prune removes folders that were not used for a day, mostly of older recipes,
// and unfinished ones. A held folder is kept, however old it is: a machine may
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

// removeUnheld removes a folder unless it is held.
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

// aptSources returns this machine's apt sources of the suite, as lines of
// sources.list.
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

// suiteSources selects the suite's sources from lines "URI RELEASE COMPONENT".
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
