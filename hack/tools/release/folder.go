package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"egress.scw/hack/local/lock"
)

// checksumFile lists the SHA-256 sums of a folder's files, as sha256sum does.
const checksumFile = "SHA256SUMS"

// temporaryFolder holds a release while it is built, beside its final folder.
const temporaryFolder = ".unfinished"

// writeFolder calls write with a temporary folder, adds checksums, and renames
// it to folder. So a run that is killed leaves no folder that could be taken for
// a release. An existing folder stays as it is; it is an error if its content
// differs.
func writeFolder(folder string, write func(dir string) error) error {
	parent := filepath.Dir(folder)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	release, err := lock.Take(filepath.Join(parent, ".lock"))
	if err != nil {
		return fmt.Errorf("another release is being built in %s: %w", parent, err)
	}
	defer release()

	temporary := filepath.Join(parent, temporaryFolder)
	if err := os.RemoveAll(temporary); err != nil { // of a run that was killed
		return err
	}
	if err := os.Mkdir(temporary, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := write(temporary); err != nil {
		return err
	}
	sums, err := checksums(temporary)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(temporary, checksumFile), sums, 0o644); err != nil {
		return err
	}
	if err := setPermissions(temporary); err != nil {
		return err
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return os.Rename(temporary, folder)
	}
	return requireContent(folder, sums)
}

// requireContent returns an error unless a folder has the files with these checksums,
// and the list of them. Its own list alone does not show that its files are intact.
func requireContent(folder string, sums []byte) error {
	found, err := checksums(folder)
	if err != nil {
		return err
	}
	list, err := os.ReadFile(filepath.Join(folder, checksumFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(found, sums) || !bytes.Equal(list, sums) {
		return fmt.Errorf("%s exists and differs from this build: remove it, or choose another version", folder)
	}
	return nil
}

// setPermissions gives the files in a folder one set of permissions, independent of
// umask.
func setPermissions(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if entry.IsDir() || info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		return os.Chmod(path, mode)
	})
}

// checksums lists the SHA-256 sum of each file in a folder, apart from the list itself,
// in the order of their paths.
func checksums(dir string) ([]byte, error) {
	var sums bytes.Buffer
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || entry.IsDir() || name == checksumFile {
			return err
		}
		sum, err := checksum(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, filepath.ToSlash(name))
		return nil
	})
	return sums.Bytes(), err
}

// checksum returns the SHA-256 sum of a file in hexadecimal.
func checksum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
