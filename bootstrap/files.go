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

// outputMark is part of every file that bootstrap writes, except for the kubeconfig, which
// it merges. Files without it are not overwritten.
const outputMark = "# Written by bootstrap apply"

// The names of the outputs, below spec.outputs.
const (
	outputNameKubeconfig = "kubeconfig"
	outputNameValues     = "values"
	outputNameKnownHosts = "knownHosts"
)

// Modes of the output files.
const (
	modeSecret fs.FileMode = 0o600
	modePublic fs.FileMode = 0o644
)

// checkOutputs returns the problems that will prevent writing the outputs, so
// that they are reported before anything is changed.
func checkOutputs(t *target) error {
	var errs []error
	if t.spec.Cluster.BootstrapManages() {
		file := t.kubeconfigFile()
		old, err := readOutput(file)
		if err == nil {
			_, err = parseKubeconfig(old)
		}
		if err == nil {
			err = checkWritable(file)
		}
		errs = append(errs, ofOutput(outputNameKubeconfig, file, err))
	}
	errs = append(errs, checkMarked(outputNameValues, t.valuesFile()))
	if len(t.spec.Proxy.SSHSources) > 0 {
		errs = append(errs, checkMarked(outputNameKnownHosts, t.knownHostsFile()))
	}
	return errors.Join(errs...)
}

// checkMarked returns the problem that will prevent writing a file with the mark of
// bootstrap.
func checkMarked(name, file string) error {
	old, err := readOutput(file)
	if err == nil {
		err = checkMark(old)
	}
	if err == nil {
		err = checkWritable(file)
	}
	return ofOutput(name, file, err)
}

// checkWritable begins to write a file and stops: permissions alone do not show
// whether it can be written.
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
	return fmt.Errorf("spec.outputs.%s: %s: %w", name, file, err)
}

// checkMark protects a file that bootstrap did not write.
func checkMark(old []byte) error {
	if len(bytes.TrimSpace(old)) == 0 || bytes.Contains(old, []byte(outputMark)) {
		return nil
	}
	return errors.New("was not written by bootstrap, so it is not overwritten: move it away, or set another file in egress.yaml")
}

// readOutput reads a file that will be written. The file may be missing, but its
// folder must exist.
func readOutput(file string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Clean(file))
	if !errors.Is(err, fs.ErrNotExist) {
		return data, plain(err)
	}
	if info, err := os.Lstat(file); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, errors.New("is a symbolic link to a file that does not exist")
	} else if err == nil { // another run has just created it
		data, err = os.ReadFile(filepath.Clean(file))
		return data, plain(err)
	}
	folder, err := os.Stat(filepath.Dir(file))
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && !folder.IsDir():
		return nil, fmt.Errorf("the folder %s does not exist", filepath.Dir(file))
	default:
		return nil, plain(err)
	}
}

// plain removes the name of the file from an error: the message already has it.
func plain(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

// writeOutput replaces a file atomically. A symbolic link is kept, and its target
// is replaced.
func writeOutput(file string, data []byte, mode fs.FileMode) error {
	pending, err := beginOutput(file, mode)
	if err != nil {
		return err
	}
	defer func() { _ = pending.Cleanup() }() // has no effect after success
	if _, err := pending.Write(data); err != nil {
		return plain(err)
	}
	return plain(pending.CloseAtomicallyReplace())
}

// beginOutput creates the temporary file that will replace a file.
func beginOutput(file string, mode fs.FileMode) (*renameio.PendingFile, error) {
	target, err := filepath.EvalSymlinks(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		target = file
	case err != nil:
		return nil, plain(err)
	}
	// The temporary file is in the folder of the target, so that secrets are not
	// written to a shared folder, and so that the rename stays within one file
	// system. renameio.WriteFile is not used, because it keeps the mode of the old
	// file, whatever mode is requested.
	pending, err := renameio.NewPendingFile(target,
		renameio.WithTempDir(filepath.Dir(target)), renameio.WithPermissions(mode), renameio.WithStaticPermissions(mode))
	if err != nil {
		return nil, fmt.Errorf("cannot create a file in the folder %s: %w", filepath.Dir(target), plain(err))
	}
	return pending, nil
}

// writeKubeconfig merges the kubeconfig of a cluster into a file and returns the
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

// writeMarked replaces a file with the mark of bootstrap, which an earlier run wrote.
func writeMarked(file string, text []byte) error {
	old, err := readOutput(file)
	if err != nil {
		return err
	}
	if err := checkMark(old); err != nil {
		return err
	}
	return writeOutput(file, text, modePublic)
}
