package images_test

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"egress.scw/hack/local/images"
)

// The image for this machine is taken from the index of an OCI layout.
func TestWriteFromLayout(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var built []images.Image
	for _, architecture := range []string{runtime.GOARCH, "other"} {
		image := images.Product("webhook", "0.1.0", program, images.Certificates())
		image.Platform = v1.Platform{OS: "linux", Architecture: architecture}
		built = append(built, image)
	}
	index, err := images.Index(built...)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "layout")
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "image.tar")
	image := images.Image{Reference: "egress.scw/webhook:0.1.0", Layout: folder}
	if err := images.Write(file, image); err == nil || !strings.Contains(err.Error(), "0 indexes") {
		t.Errorf("got %v for an empty layout", err)
	}
	if err := path.AppendIndex(index); err != nil {
		t.Fatal(err)
	}
	if err := images.Write(file, image); err != nil {
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
	if config.Architecture != runtime.GOARCH || config.Config.Labels["org.opencontainers.image.title"] != "egress-webhook" {
		t.Errorf("architecture %s, labels %v", config.Architecture, config.Config.Labels)
	}
}

// The authorities of an image from a layout are replaced.
func TestReplaceAuthorities(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	released := images.Product("demo", "0.1.0", program, []byte("public authorities"))
	index, err := images.Index(released)
	if err != nil {
		t.Fatal(err)
	}
	path, err := layout.Write(filepath.Join(dir, "layout"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := path.AppendIndex(index); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "image.tar")
	image := images.Image{Reference: "egress.scw/demo:dev", Layout: string(path), CACertificates: []byte("a private authority")}
	if err := images.Write(file, image); err != nil {
		t.Fatal(err)
	}
	read, err := tarball.ImageFromPath(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	content := filesOf(t, read)
	if got := content["etc/ssl/certs/ca-certificates.crt"]; got != "a private authority" {
		t.Errorf("the image trusts %q", got)
	}
	if content["main"] != "#!/bin/true\n" {
		t.Error("the program is missing")
	}
}

// filesOf returns the files of an image as a container sees them.
func filesOf(t *testing.T, image v1.Image) map[string]string {
	t.Helper()
	stream := mutate.Extract(image)
	defer stream.Close()
	content := make(map[string]string)
	for r := tar.NewReader(stream); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return content
		}
		if err != nil {
			t.Fatal(err)
		}
		file, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		content[header.Name] = string(file)
	}
}

// Mozilla's program has more than a hundred authorities.
func TestCertificates(t *testing.T) {
	if count := strings.Count(string(images.Certificates()), "BEGIN CERTIFICATE"); count < 50 {
		t.Errorf("%d certificates", count)
	}
}
