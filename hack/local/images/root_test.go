package images_test

import (
	"archive/tar"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"egress.scw/hack/local/images"
)

// An image of a root filesystem has its files alone, and runs as root.
func TestWriteRoot(t *testing.T) {
	dir := t.TempDir()
	root, file := filepath.Join(dir, "root.tar.gz"), filepath.Join(dir, "image.tar")
	writeTar(t, root, map[string]string{"usr/bin/client": "#!/bin/true\n"})
	if err := images.Write(file, images.Image{Reference: "example/clients:dev", Root: root}); err != nil {
		t.Fatal(err)
	}
	read, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := read.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if config.Config.User != "" || !slices.Equal(config.Config.Env, []string{path}) {
		t.Errorf("user %q, environment %q", config.Config.User, config.Config.Env)
	}
	if diff := cmp.Diff(map[string]string{"usr/bin/client": "#!/bin/true\n"}, filesOf(t, read)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if err := images.Write(file, images.Image{Reference: "example/clients:dev", Root: filepath.Join(dir, "missing")}); err == nil {
		t.Error("no error for a root filesystem that does not exist")
	}
}

// writeTar writes a compressed tar file.
func writeTar(t *testing.T, name string, files map[string]string) {
	t.Helper()
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	compressed := gzip.NewWriter(out)
	archive := tar.NewWriter(compressed)
	for file, content := range files {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: file, Mode: 0o755, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := compressed.Close(); err != nil {
		t.Fatal(err)
	}
}
