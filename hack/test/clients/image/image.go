// Package image makes the root filesystem of a container image with real clients,
// for pods of the end-to-end tests.
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
	"path/filepath"

	"egress.scw/hack/test/clients/debian"
	"egress.scw/hack/test/clients/matrix"
)

// languages are the folders of programs that the image contains. Those of Go and
// Node need more than Debian's packages.
var languages = []string{"java", "perl", "php", "python", "ruby"}

// Make returns a file in the format of tar, compressed by gzip: a root filesystem with
// the clients' Debian packages and their programs. programs is the folder of the
// programs' sources. If the user's cache folder does not contain the file, Make makes
// it in a minute or two, and removes older ones.
func Make(ctx context.Context, clients []matrix.Client, programs string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the user's cache folder for the clients' image: %w", err)
	}
	cache = filepath.Join(cache, "egress-scw", "clients-image")
	packages := debian.Packages(clients)
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
	unfinished := filepath.Join(cache, "unfinished")
	if err := write(ctx, unfinished, packages, install(programs)); err != nil {
		return "", err
	}
	return file, os.Rename(unfinished, file)
}

// install copies the programs into the root filesystem, and compiles that of the JDK's
// clients.
func install(programs string) []string {
	hooks := []string{debian.Hook(`mkdir -p "$1"%s`, matrix.Programs)}
	for _, language := range languages {
		hooks = append(hooks, debian.Hook(`cp -r "%s" "$1"%s`, filepath.Join(programs, language), matrix.Programs))
	}
	return append(hooks, debian.Hook(`chroot "$1" javac -d %[1]s/java %[1]s/java/Clients.java`, matrix.Programs))
}

// write writes the root filesystem to the file.
func write(ctx context.Context, file string, packages, hooks []string) error {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	compressed, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := debian.Tar(ctx, compressed, packages, hooks...); err != nil {
		return err
	}
	return errors.Join(compressed.Close(), out.Close())
}

// recipeHash covers all choices made here, and the programs' sources, wherever they
// are.
func recipeHash(packages []string, programs string) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, debian.Release, debian.Options(packages), install(""))
	for _, language := range languages {
		if err := hashFolder(sum, filepath.Join(programs, language)); err != nil {
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
