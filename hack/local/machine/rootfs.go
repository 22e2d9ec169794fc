package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"egress.scw/hack/local/progress"
)

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

// MakeRootFS returns the root filesystem of an image. If the user's cache folder
// does not contain it, MakeRootFS makes it in a minute or two, from packages of
// the mirrors that this machine's apt uses. It is held (Hold).
func MakeRootFS(ctx context.Context, image Image, log *progress.Log) (RootFS, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return RootFS{}, fmt.Errorf("finding the user's cache folder for the root filesystem: %w", err)
	}
	cache = filepath.Join(cache, "egress-scw", "machine")
	folder := filepath.Join(cache, image.recipeHash())
	result := RootFS{Root: filepath.Join(folder, "root"), Packages: filepath.Join(folder, "packages")}
	if err := result.Hold(); !errors.Is(err, fs.ErrNotExist) {
		return result, err
	}
	err = log.Step("root filesystem of the proxy's machine, "+image.String(), func() error {
		if err := os.MkdirAll(cache, 0o755); err != nil {
			return err
		}
		unfinished, err := os.MkdirTemp(cache, temporary)
		if err != nil {
			return err
		}
		defer os.RemoveAll(unfinished)
		if err := makeRootFS(ctx, image, unfinished); err != nil {
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

func makeRootFS(ctx context.Context, image Image, folder string) error {
	sources, err := AptSources(ctx, image.Release)
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
	args := append(image.mmdebstrapOptions(), string(image.Release), result.Root)
	cmd := exec.CommandContext(ctx, "mmdebstrap", append(args, sources...)...)
	cmd.Env = append(os.Environ(), "EGRESS_PACKAGES="+result.Packages)
	// mmdebstrap removes its mounts when it is interrupted, but not when it
	// is killed.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mmdebstrap: %w; the end of its output:\n%s", err, out[max(0, len(out)-2000):])
	}
	if err := image.finish(result.Root); err != nil {
		return err
	}
	return WriteIndex(ctx, result.Packages)
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

// removeUnheld removes a folder unless it is held. Another program may remove it at the
// same time.
func removeUnheld(path string) error {
	folder, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
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
