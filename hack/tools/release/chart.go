package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/registry"

	"egress.scw/hack/local/images"
)

// chartName is the name of the chart and of its folder below charts.
const chartName = "egress-webhook"

// chartImages are the programs whose images the chart has by default.
var chartImages = []string{"webhook", "sidecar", "bootstrap"}

// packageChart writes the archive of a chart into a folder and returns its path.
// Version and appVersion become the release's, so that the chart's default images
// are those of this release; the repositories take the place of the default ones.
func packageChart(source fs.FS, s source, r repositories, dir string) (string, error) {
	files, err := readChart(source, r)
	if err != nil {
		return "", err
	}
	loaded, err := loader.LoadFiles(files)
	if err != nil {
		return "", fmt.Errorf("chart %s: %w", chartName, err)
	}
	loaded.Metadata.Version, loaded.Metadata.AppVersion = s.Version, s.Version
	loaded.StampModTimes(s.Time)
	return chartutil.Save(loaded, dir)
}

// readChart reads the files of the chart.
func readChart(source fs.FS, r repositories) ([]*archive.BufferedFile, error) {
	var files []*archive.BufferedFile
	err := fs.WalkDir(source, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(source, path)
		if err != nil {
			return err
		}
		if path == chartutil.ValuesfileName {
			if data, err = setRepositories(data, r); err != nil {
				return err
			}
		}
		files = append(files, &archive.BufferedFile{Name: path, Data: data})
		return nil
	})
	return files, err
}

// setRepositories replaces the default repositories of the release's images in
// values.yaml, and keeps its comments.
func setRepositories(values []byte, r repositories) ([]byte, error) {
	for _, program := range chartImages {
		old := []byte(" repository: " + images.Repository(program) + "\n")
		if count := bytes.Count(values, old); count != 1 {
			return nil, fmt.Errorf("%s has %d lines %q: it must have one", chartutil.ValuesfileName, count, strings.TrimSpace(string(old)))
		}
		values = bytes.Replace(values, old, []byte(" repository: "+r.service(program)+"\n"), 1)
	}
	return values, nil
}

// chartArtefact is the OCI artefact of a chart's archive, as helm push makes it.
func chartArtefact(file string, at time.Time) (v1.Image, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	loaded, err := loader.LoadArchive(bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return newArtefact(loaded.Metadata, content, at)
}

// artefact implements partial.CompressedImageCore.
type artefact struct {
	manifest, config []byte
	layer            v1.Layer
}

func newArtefact(metadata *chart.Metadata, content []byte, at time.Time) (v1.Image, error) {
	config, err := json.Marshal(metadata)
	if err != nil {
		return nil, err
	}
	a := &artefact{config: config, layer: static.NewLayer(content, registry.ChartLayerMediaType)}
	configDescriptor, err := partial.Descriptor(static.NewLayer(config, registry.ConfigMediaType))
	if err != nil {
		return nil, err
	}
	layerDescriptor, err := partial.Descriptor(a.layer)
	if err != nil {
		return nil, err
	}
	a.manifest, err = json.Marshal(v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		Config:        *configDescriptor,
		Layers:        []v1.Descriptor{*layerDescriptor},
		Annotations: map[string]string{
			"org.opencontainers.image.title":       metadata.Name,
			"org.opencontainers.image.description": metadata.Description,
			"org.opencontainers.image.version":     metadata.Version,
			"org.opencontainers.image.created":     at.Format(time.RFC3339),
		},
	})
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(a)
}

func (a *artefact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func (a *artefact) RawManifest() ([]byte, error)                           { return a.manifest, nil }
func (a *artefact) RawConfigFile() ([]byte, error)                         { return a.config, nil }
func (a *artefact) LayerByDigest(v1.Hash) (partial.CompressedLayer, error) { return a.layer, nil }
