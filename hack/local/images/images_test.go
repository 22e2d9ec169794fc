package images_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"egress.scw/hack/local/images"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	image := images.Image{
		Reference:      "example/test:dev",
		Binaries:       map[string]string{"/program": program},
		CACertificates: []byte("certificates"),
		Entrypoint:     []string{"/program", "serve"},
	}
	var contents [2]string
	for i := range contents {
		file := filepath.Join(dir, "image.tar")
		if err := images.Write(file, image); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		contents[i] = string(content)
	}
	if contents[0] != contents[1] {
		t.Error("the same files make different images")
	}

	read, err := tarball.ImageFromPath(filepath.Join(dir, "image.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := read.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(image.Entrypoint, config.Config.Entrypoint); diff != "" || config.Config.User != "65532:65532" {
		t.Errorf("entrypoint (-want +got):\n%s\nuser %q", diff, config.Config.User)
	}
	want := map[string]string{
		"program 755":                           "#!/bin/true\n",
		"etc/ssl/certs/ca-certificates.crt 644": "certificates",
	}
	got := map[string]string{}
	archive := tar.NewReader(mutate.Extract(read))
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		key := header.Name + " " + map[int64]string{0o755: "755", 0o644: "644"}[header.Mode]
		if _, ok := want[key]; ok {
			got[key] = string(content)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}

	image.Binaries["/missing"] = filepath.Join(dir, "missing")
	if err := images.Write(filepath.Join(dir, "broken.tar"), image); err == nil {
		t.Error("no error for a file that does not exist")
	}
}
