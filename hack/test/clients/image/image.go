// Package image makes the root filesystem of a container image with real clients and
// servers, for pods and for the internet of the end-to-end tests.
package image

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"egress.scw/hack/test/clients/debian"
	"egress.scw/hack/test/clients/matrix"
)

// languages are the folders of programs that the image contains as they are. Those
// programs of Node do not work that need more than Debian's packages.
var languages = []string{"java", "node", "perl", "php", "python", "ruby"}

// goModule is the folder of the Go module, of which the image has one program.
const goModule = "go"

// Make returns a file in the format of tar, compressed by gzip: a root filesystem with
// Debian packages and the clients' programs. programs is the folder of the programs'
// sources. If the user's cache folder does not contain the file, Make makes it in a
// minute or two, and removes older ones.
func Make(ctx context.Context, packages []string, programs string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the user's cache folder for the clients' image: %w", err)
	}
	cache = filepath.Join(cache, "egress-scw", "clients-image")
	recipe, err := recipeHash(packages, programs)
	if err != nil {
		return "", err
	}
	file := filepath.Join(cache, recipe+".tar.gz")
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	if err := errors.Join(os.RemoveAll(cache), os.MkdirAll(cache, 0o755)); err != nil {
		return "", err
	}
	unfinished, compiled := filepath.Join(cache, "unfinished"), filepath.Join(cache, "ignoring")
	if err := compileGo(ctx, filepath.Join(programs, goModule), compiled); err != nil {
		return "", err
	}
	if err := write(ctx, unfinished, packages, options(programs, compiled)); err != nil {
		return "", err
	}
	return file, os.Rename(unfinished, file)
}

// compileGo compiles the program of the Go clients.
func compileGo(ctx context.Context, module, binary string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o", binary, "./ignoring")
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w; the end of its output:\n%s", err, out[max(0, len(out)-2000):])
	}
	return nil
}

// options are those of mmdebstrap beside the packages: they copy the programs into the
// root filesystem, compile that of the JDK's clients, and prepare the servers.
func options(programs, compiled string) []string {
	options := []string{
		// PostgreSQL's compiler of queries, a hundred megabytes.
		"--dpkgopt=path-exclude=/usr/lib/*/libLLVM-*",
		// The package of PostgreSQL would create a database.
		`--essential-hook=mkdir "$1"/etc/postgresql-common && echo "create_main_cluster = false" >"$1"/etc/postgresql-common/createcluster.conf`,
		debian.Hook(`mkdir -p "$1"%s`, matrix.Programs),
		debian.Hook(`cp "%s" "$1"%s`, compiled, matrix.Programs),
	}
	for _, language := range languages {
		options = append(options, debian.Hook(`cp -r "%s" "$1"%s`, filepath.Join(programs, language), matrix.Programs))
	}
	return append(options,
		debian.Hook(`chroot "$1" javac -d %[1]s/java %[1]s/java/Clients.java`, matrix.Programs),
		debian.Hook(`chroot "$1" sh -euc '%s'`, trustSSH),
		debian.Hook(`chroot "$1" sh -euc '%s'`, distrustPublic))
}

// trustSSH lets root in one copy of the root filesystem log in to another copy: both
// have the same keys, and trust them.
const trustSSH = `
mkdir -m 700 -p /root/.ssh
ssh-keygen -q -t ed25519 -N "" -f /root/.ssh/id_ed25519
cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
echo "* $(cat /etc/ssh/ssh_host_ed25519_key.pub)" >/etc/ssh/ssh_known_hosts
`

// distrustPublic removes the public authorities. A pod trusts the authorities of the
// end-to-end tests alone, which it adds by update-ca-certificates when it starts: with
// the public ones, that takes seconds of CPU each time. Deselected lines are removed
// from Java's keystore too, missing lines are not. The lines are removed then, because
// update-ca-certificates starts a process for each. It does not write an empty bundle.
const distrustPublic = `
sed -i "s/^[^#!]/!&/" /etc/ca-certificates.conf
update-ca-certificates
: >/etc/ca-certificates.conf
: >/etc/ssl/certs/ca-certificates.crt
`

// write writes the root filesystem to the file.
func write(ctx context.Context, file string, packages, options []string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	compressed, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := debian.Tar(ctx, compressed, packages, options...); err != nil {
		return err
	}
	return errors.Join(compressed.Close(), out.Close())
}

// recipeHash covers all choices made here, and the programs' sources, wherever they
// are.
func recipeHash(packages []string, programs string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, debian.Release, debian.Options(packages), options("", ""), runtime.Version())
	for _, folder := range append(languages, goModule) {
		if err := hashFolder(sum, filepath.Join(programs, folder)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:16], nil
}

func hashFolder(sum hash.Hash, folder string) error {
	return filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		fmt.Fprintln(sum, filepath.Base(name))
		_, err = io.Copy(sum, file)
		return err
	})
}
