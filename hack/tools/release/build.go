package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"egress.scw/charts"
	"egress.scw/hack/local/images"
)

// Folders of a release. Those of images and charts hold an OCI layout for each.
const (
	binaryFolder = "bin"
	imageFolder  = "images"
	chartFolder  = "charts"
	sbomFolder   = "sbom"
)

// build writes every part of a release into a folder.
func build(ctx context.Context, s source, r repositories, downloads, dir string, w io.Writer) error {
	for _, folder := range []string{binaryFolder, krewFolder, imageFolder, chartFolder, sbomFolder} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			return err
		}
	}
	for _, p := range tools {
		for _, target := range p.Platforms {
			fmt.Fprintf(w, "building %s for %s\n", p.Name, target)
			binary := filepath.Join(dir, binaryFolder, p.file(s.Version, target))
			if err := p.compile(ctx, s, target, binary); err != nil {
				return err
			}
			if err := writeBOM(p.bom(dir, s, target), binary, p, s); err != nil {
				return err
			}
		}
	}
	fmt.Fprintln(w, "packaging the plugin of kubectl")
	if err := plugin.writeKrew(s, downloads, dir); err != nil {
		return err
	}
	for _, p := range services {
		fmt.Fprintf(w, "building the image of %s\n", p.Name)
		if err := p.writeImage(ctx, s, r, dir); err != nil {
			return err
		}
	}
	fmt.Fprintln(w, "packaging the chart")
	return writeChart(s, r, dir)
}

// bom is the path of a program's SBOM.
func (p program) bom(dir string, s source, target platform) string {
	p.Name = cmp.Or(p.BOM, p.Name)
	return filepath.Join(dir, sbomFolder, p.file(s.Version, target)+".cdx.json")
}

// writeImage builds the program for its platforms and writes an OCI layout with
// one index of their images.
func (p program) writeImage(ctx context.Context, s source, r repositories, dir string) error {
	binaries, err := os.MkdirTemp(dir, "binaries-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(binaries)
	var built []images.Image
	for _, target := range p.Platforms {
		binary := filepath.Join(binaries, target.String())
		if err := p.compile(ctx, s, target, binary); err != nil {
			return err
		}
		built = append(built, p.image(s, target, binary))
		if err := writeBOM(p.bom(dir, s, target), binary, p, s, rootsModule()...); err != nil {
			return err
		}
	}
	return writeIndex(filepath.Join(dir, imageFolder, p.Name), s.Version, r.service(p.Name), built)
}

// image is the program's image for a platform.
func (p program) image(s source, target platform, binary string) images.Image {
	image := images.Product(p.Name, s.Version, binary, images.Certificates())
	image.Platform = v1.Platform{OS: target.OS, Architecture: target.Arch}
	image.Created = s.Time
	image.Labels["org.opencontainers.image.version"] = s.Version
	image.Labels["org.opencontainers.image.revision"] = s.Revision
	return image
}

// writeIndex writes an OCI layout with one index of the images.
func writeIndex(folder, tag, repository string, built []images.Image) error {
	index, err := images.Index(built...)
	if err != nil {
		return fmt.Errorf("image %s: %w", repository, err)
	}
	path, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	return path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		images.AnnotationTag:  tag,
		images.AnnotationName: repository + ":" + tag,
	}))
}

// rootsModule is the module that the certificate authorities of images come from.
func rootsModule() []*debug.Module {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	for _, module := range info.Deps {
		if module.Path == images.RootsModule {
			return []*debug.Module{module}
		}
	}
	return nil
}

// writeChart writes the chart's archive, and an OCI layout with the same archive.
func writeChart(s source, r repositories, dir string) error {
	files, err := fs.Sub(charts.EgressWebhook, chartName)
	if err != nil {
		return err
	}
	archive, err := packageChart(files, s, r, filepath.Join(dir, chartFolder))
	if err != nil {
		return err
	}
	image, err := chartArtefact(archive, s.Time)
	if err != nil {
		return err
	}
	path, err := layout.Write(filepath.Join(dir, chartFolder, chartName), empty.Index)
	if err != nil {
		return err
	}
	return path.AppendImage(image, layout.WithAnnotations(map[string]string{images.AnnotationTag: s.Version}))
}
