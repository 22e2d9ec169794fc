// Package images makes container images out of binaries, without a container
// engine and without a registry. The local environment and releases use it.
package images

import (
	"errors"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// nonroot is the user of distroless' nonroot images, on which the product's
// Dockerfile builds.
const nonroot = "65532:65532"

// Image is an image of one layer.
type Image struct {
	// Reference is its name, such as "egress.scw/demo:dev".
	Reference string
	// Platform is that of the binaries. Default: Linux on this machine's
	// architecture.
	Platform v1.Platform
	// Layout, if set, is the folder of an OCI layout with one index, which
	// contains the image for the platform. Of the fields below, only
	// CACertificates is used then: if set, it replaces the image's authorities.
	Layout string
	// Root, if set, is a file in the format of tar, compressed by gzip or not: the
	// image's root filesystem. Of the fields below, none is used then: containers run
	// as root, with a PATH of all folders of programs.
	Root string

	// Binaries are files of this machine, by their path in the image.
	Binaries map[string]string
	// CACertificates, in PEM, are the authorities that programs in the image
	// trust.
	CACertificates []byte
	// Entrypoint is the program that containers run, with its arguments.
	Entrypoint []string
	// Labels are those of the image's configuration.
	Labels map[string]string
	// Created is the time in the image's configuration. Default: none.
	Created time.Time
}

// build returns the image, whose own layers are compressed or not. The same files and
// fields make the same image.
func (i Image) build(compressed bool) (v1.Image, error) {
	if i.Layout != "" {
		image, err := i.fromLayout()
		if err != nil || len(i.CACertificates) == 0 {
			return image, err
		}
		return i.replaceAuthorities(image, compressed)
	}
	config := v1.Config{
		Entrypoint: i.Entrypoint,
		User:       nonroot,
		Env:        []string{"PATH=/bin", "SSL_CERT_FILE=/" + certificatesFile},
		WorkingDir: "/",
		Labels:     i.Labels,
	}
	build := func() (v1.Layer, error) { return i.layer(compressed) }
	if i.Root != "" {
		config = v1.Config{Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, WorkingDir: "/"}
		build = i.rootLayer
	}
	layer, err := build()
	if err != nil {
		return nil, err
	}
	return i.assemble(layer, config)
}

// rootLayer is the file of the root filesystem.
func (i Image) rootLayer() (v1.Layer, error) {
	return tarball.LayerFromFile(i.Root, tarball.WithMediaType(types.OCILayer))
}

// assemble returns the image of one layer.
func (i Image) assemble(layer v1.Layer, config v1.Config) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	built, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, err
	}
	file, err := built.ConfigFile()
	if err != nil {
		return nil, err
	}
	platform := i.platform()
	file.OS, file.Architecture = platform.OS, platform.Architecture
	file.Created = v1.Time{Time: i.Created}
	file.Config = config
	return mutate.ConfigFile(built, file)
}

func (i Image) platform() v1.Platform {
	if i.Platform.OS == "" {
		return v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	}
	return i.Platform
}

// certificatesFile is the path of the authorities in each image.
const certificatesFile = "etc/ssl/certs/ca-certificates.crt"

// layer contains the files in a fixed order and without dates, so that the same
// files make the same layer.
func (i Image) layer(compressed bool) (v1.Layer, error) {
	if len(i.CACertificates) == 0 {
		return nil, errors.New("no certificate authorities: programs in the image could not verify a server")
	}
	content := newFiles()
	for _, name := range []string{"bin/", "etc/", "etc/ssl/", "etc/ssl/certs/"} {
		content.folder(name, 0o755)
	}
	content.folder("tmp/", 0o1777)
	content.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/:/none\nnonroot:x:65532:65532:nonroot:/tmp:/none\n"))
	content.file(certificatesFile, 0o644, i.CACertificates)
	for _, target := range slices.Sorted(maps.Keys(i.Binaries)) {
		binary, err := os.ReadFile(i.Binaries[target])
		if err != nil {
			return nil, err
		}
		content.file(strings.TrimPrefix(path.Clean(target), "/"), 0o755, binary)
	}
	return content.layer(compressed)
}

// replaceAuthorities adds a layer with the certificate authorities to an image.
func (i Image) replaceAuthorities(image v1.Image, compressed bool) (v1.Image, error) {
	content := newFiles()
	content.file(certificatesFile, 0o644, i.CACertificates)
	layer, err := content.layer(compressed)
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(image, layer)
}

// Index is one image for several platforms.
func Index(images ...Image) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, image := range images {
		built, err := image.build(true)
		if err != nil {
			return nil, err
		}
		platform := image.platform()
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: built, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	if len(images) == 0 {
		return nil, errors.New("an index needs an image")
	}
	return index, nil
}
