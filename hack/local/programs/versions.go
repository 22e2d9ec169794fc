package programs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"egress.scw/hack/local/lock"
	"egress.scw/hack/local/process"
)

// A version is a build of a program, a file or a folder. Its name in the cache
// folder is that of the program with a hash, and its content does not change. All
// checkouts of a user share the folder: versions stay for a while, because running
// tests and other checkouts use them. The modification time is that of the last use.
const (
	// keepOwn is longer than any run of the tests. Linking a program of the
	// checkout again takes seconds, and each state of the code is a version.
	keepOwn = 24 * time.Hour
	// keepThirdParty: some of them take many minutes to build.
	keepThirdParty = 7 * 24 * time.Hour
)

const hashLength = 16

// path is the path of a version.
func (b *Builder) path(name, hash string) string {
	return filepath.Join(b.cache, name+"-"+hash)
}

// take marks a version as used, so that other builds keep it. It reports whether the
// version exists.
func (b *Builder) take(path string) (exists bool, err error) {
	release, err := b.lock()
	if err != nil {
		return false, err
	}
	defer release()
	return touch(path)
}

// keep moves a new build to the path of its version, unless it exists, and removes
// other versions of the program that were not used for a time.
func (b *Builder) keep(made, path string, unused time.Duration) error {
	if err := flush(made); err != nil {
		return err
	}
	release, err := b.lock()
	if err != nil {
		return err
	}
	defer release()
	exists, err := touch(path)
	if err != nil {
		return err
	}
	if !exists {
		if err := os.Rename(made, path); err != nil {
			return err
		}
	}
	return b.prune(path, unused)
}

// lock prevents two builds from using and removing a version at the same time.
func (b *Builder) lock() (release func(), err error) {
	return lock.Wait(filepath.Join(b.cache, ".lock"))
}

// touch reports whether the file exists, and sets its modification time.
func touch(path string) (exists bool, err error) {
	err = os.Chtimes(path, time.Time{}, time.Now())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// flush writes a file to the disk: after a crash of the machine, a file could
// otherwise have its name without its content.
func flush(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// prune removes the versions of a program, apart from path, that were not used for a
// time and that no process runs, and what killed builds left.
func (b *Builder) prune(path string, unused time.Duration) error {
	entries, err := os.ReadDir(b.cache)
	if err != nil {
		return err
	}
	running, err := process.Executables()
	if err != nil {
		return err
	}
	name := filepath.Base(path)
	program := name[:len(name)-hashLength-len("-")]
	var errs []error
	for _, entry := range entries {
		if entry.Name() == name || !isOf(entry.Name(), program) {
			continue
		}
		info, err := entry.Info()
		if err != nil { // a build has just removed its temporary file
			continue
		}
		version := filepath.Join(b.cache, entry.Name())
		if time.Since(info.ModTime()) > unused && !runs(version, running) {
			errs = append(errs, os.RemoveAll(version))
		}
	}
	return errors.Join(errs...)
}

// isOf reports whether a file of the cache folder is a version of the program, or a
// temporary file of it. "kubernetes-other-HASH" is not a version of kubernetes.
func isOf(file, program string) bool {
	hash, isVersion := strings.CutPrefix(file, program+"-")
	return isVersion && len(hash) == hashLength || strings.HasPrefix(file, "."+program+"-")
}

// runs reports whether an executable is the version, or in the version's folder.
func runs(version string, executables []fs.FileInfo) bool {
	inside, _ := filepath.Glob(filepath.Join(version, "*"))
	return slices.ContainsFunc(append(inside, version), func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && slices.ContainsFunc(executables, func(e fs.FileInfo) bool { return os.SameFile(e, info) })
	})
}

// latest is a link to the version that this checkout built last.
func (b *Builder) latest(p Program) string {
	sum := sha256.Sum256([]byte(b.root))
	return filepath.Join(b.cache, "."+p.Name+"-of-"+hex.EncodeToString(sum[:])[:hashLength])
}

// setLatest makes latest point to a version. Without the link, the next build links
// the program again.
func (b *Builder) setLatest(latest, path string) error {
	release, err := b.lock()
	if err != nil {
		return err
	}
	defer release()
	if err := os.Remove(latest); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(filepath.Base(path), latest)
}
