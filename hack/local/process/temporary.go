package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// temporaryPrefix is the prefix of the names of temporary environments.
const temporaryPrefix = "egress-test-"

// sharedMemory matches the remains of killed Squids of tests: files named after
// them (squid -n, in cloudinit/squid's tests).
const sharedMemory = "/dev/shm/egresstest*.shm"

// Temporary returns an environment in a new folder, for tests. Its caller
// removes it (Remove). If the caller is killed before, RemoveTemporary does.
func Temporary() (Environment, error) {
	dir, err := os.MkdirTemp("", temporaryPrefix)
	return Environment(dir), err
}

// Remove ends the environment's processes and removes its folder.
func (e Environment) Remove(ctx context.Context) error {
	if err := e.Stop(ctx, 10*time.Second); err != nil {
		return err
	}
	return os.RemoveAll(string(e))
}

// RemoveTemporary removes every temporary environment of this user, and the
// shared memory of Squids of tests, including those of running tests.
func RemoveTemporary(ctx context.Context) error {
	environments, err := Environments()
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range environments {
		if strings.HasPrefix(filepath.Base(string(e)), temporaryPrefix) && isMine(string(e)) {
			errs = append(errs, e.Stop(ctx, 0))
		}
	}
	folders, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryPrefix+"*"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if isMine(folder) {
			errs = append(errs, os.RemoveAll(folder))
		}
	}
	return errors.Join(append(errs, removeSharedMemory(sharedMemory))...)
}

// removeSharedMemory removes the files that this user may remove. Their owner
// does not identify them: started as root, Squid becomes another user. A
// running Squid does not need the files.
func removeSharedMemory(pattern string) error {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		if err := os.Remove(file); !errors.Is(err, os.ErrPermission) && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// isMine reports whether a folder belongs to this user. A folder that has
// disappeared does not belong to another user.
func isMine(folder string) bool {
	info, err := os.Stat(folder)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
