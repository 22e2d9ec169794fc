package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Modes of the files that are written.
const (
	modeSecret fs.FileMode = 0o600
	modePublic fs.FileMode = 0o644
)

// checkOutputs says what will keep the outputs from being written, so that it
// shows before anything else is done.
func checkOutputs(s *setup) error {
	var errs []error
	if s.spec.Cluster != nil {
		file := s.kubeconfigFile()
		old, err := readOutput(file)
		if err == nil {
			_, err = parseKubeconfig(old)
		}
		if err == nil {
			err = checkWritable(file)
		}
		errs = append(errs, ofOutput("kubeconfig", file, err))
	}
	file := s.valuesFile()
	old, err := readOutput(file)
	if err == nil {
		err = checkOldValues(old)
	}
	if err == nil {
		err = checkWritable(file)
	}
	return errors.Join(append(errs, ofOutput("values", file, err))...)
}

// checkWritable begins to write a file and leaves it at that: whether one may,
// permissions alone do not tell.
func checkWritable(file string) error {
	pending, err := beginOutput(file, modeSecret)
	if err != nil {
		return err
	}
	return plain(pending.Cleanup())
}

func ofOutput(name, file string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("outputs.%s: %s: %w", name, file, err)
}

// checkOldValues keeps values that people wrote from being replaced.
func checkOldValues(old []byte) error {
	if len(bytes.TrimSpace(old)) == 0 || bytes.Contains(old, []byte(valuesMark)) {
		return nil
	}
	return errors.New("was not written by bootstrap, and stays as it is: move it away, or name another file in outputs.values")
}

// readOutput reads a file that is about to be written. There need be none, but
// its folder has to be there.
func readOutput(file string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Clean(file))
	if !errors.Is(err, fs.ErrNotExist) {
		return data, plain(err)
	}
	if info, err := os.Lstat(file); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, errors.New("is a symbolic link that leads nowhere")
	} else if err == nil { // another run has just written it
		data, err = os.ReadFile(filepath.Clean(file))
		return data, plain(err)
	}
	folder, err := os.Stat(filepath.Dir(file))
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !folder.IsDir():
		return nil, fmt.Errorf("there is no folder %s", filepath.Dir(file))
	default:
		return nil, plain(err)
	}
}

// plain is an error without the file's name, which is said already.
func plain(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

// writeOutput replaces a file as a whole or not at all. A symbolic link stays,
// and it is the file that it leads to which is replaced.
func writeOutput(file string, data []byte, mode fs.FileMode) error {
	pending, err := beginOutput(file, mode)
	if err != nil {
		return err
	}
	defer func() { _ = pending.Cleanup() }() // nothing is left to clean up when all went well
	if _, err := pending.Write(data); err != nil {
		return plain(err)
	}
	return plain(pending.CloseAtomicallyReplace())
}

// beginOutput makes the temporary file that is to take a file's place.
func beginOutput(file string, mode fs.FileMode) (*renameio.PendingFile, error) {
	target, err := filepath.EvalSymlinks(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		target = file
	case err != nil:
		return nil, plain(err)
	}
	// The temporary file is beside the target: what is secret is in no folder
	// that others share, and a rename stays within a file system. Not by
	// renameio.WriteFile, which keeps the mode of the old file whatever it is
	// told.
	pending, err := renameio.NewPendingFile(target,
		renameio.WithTempDir(filepath.Dir(target)), renameio.WithPermissions(mode), renameio.WithStaticPermissions(mode))
	if err != nil {
		return nil, fmt.Errorf("the folder %s takes no new file: %w", filepath.Dir(target), plain(err))
	}
	return pending, nil
}

// writeKubeconfig merges a cluster's kubeconfig into a file and returns the
// name of its context.
func writeKubeconfig(file string, added []byte, clusterID string) (string, error) {
	old, err := readOutput(file)
	if err != nil {
		return "", err
	}
	merged, context, err := mergeKubeconfig(old, added, clusterID)
	if err != nil {
		return "", err
	}
	return context, writeOutput(file, merged, modeSecret)
}

// writeValues replaces the file of values that an earlier run wrote.
func writeValues(file string, text []byte) error {
	old, err := readOutput(file)
	if err != nil {
		return err
	}
	if err := checkOldValues(old); err != nil {
		return err
	}
	return writeOutput(file, text, modePublic)
}
