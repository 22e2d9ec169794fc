// Package images makes container images out of binaries, without a container
// engine and without a registry.
package images

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nonroot is the user of distroless' nonroot images, which the product's
// Dockerfile builds on.
const nonroot = "65532:65532"

// Image is an image of one layer.
type Image struct {
	// Reference is its name, such as "egress.scw/demo:dev".
	Reference string
	// Binaries are files of this machine, by their path in the image.
	Binaries map[string]string
	// CACertificates, in PEM, are what programs in the image trust.
	CACertificates []byte
	// Entrypoint is the program that containers run.
	Entrypoint []string
}

// Write writes the image to a file that containerd imports.
func Write(file string, image Image) error {
	reference, err := name.NewTag(image.Reference)
	if err != nil {
		return err
	}
	layer, err := image.layer()
	if err != nil {
		return fmt.Errorf("image %s: %w", image.Reference, err)
	}
	built, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.DockerManifestSchema2), layer)
	if err != nil {
		return fmt.Errorf("image %s: %w", image.Reference, err)
	}
	config, err := built.ConfigFile()
	if err != nil {
		return err
	}
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{
		Entrypoint: image.Entrypoint,
		User:       nonroot,
		Env:        []string{"PATH=/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
		WorkingDir: "/",
	}
	if built, err = mutate.ConfigFile(built, config); err != nil {
		return err
	}
	return tarball.WriteToFile(file, reference, built)
}

// layer holds the files, in a fixed order and without dates, so that the same
// files make the same image.
func (i Image) layer() (v1.Layer, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, dir := range []string{"bin/", "etc/", "etc/ssl/", "etc/ssl/certs/", "tmp/"} {
		mode := int64(0o755)
		if dir == "tmp/" {
			mode = 0o1777
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: mode}); err != nil {
			return nil, err
		}
	}
	add := func(name string, mode int64, content []byte) error {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	if err := add("etc/passwd", 0o644, []byte("root:x:0:0:root:/:/none\nnonroot:x:65532:65532:nonroot:/tmp:/none\n")); err != nil {
		return nil, err
	}
	if err := add("etc/ssl/certs/ca-certificates.crt", 0o644, i.CACertificates); err != nil {
		return nil, err
	}
	for _, target := range slices.Sorted(maps.Keys(i.Binaries)) {
		content, err := os.ReadFile(i.Binaries[target])
		if err != nil {
			return nil, err
		}
		if err := add(strings.TrimPrefix(path.Clean(target), "/"), 0o755, content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil
	}, tarball.WithCompressionLevel(1))
}
