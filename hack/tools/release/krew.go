package main

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// krewFolder holds the archives of the plugin, and its manifest for krew.
const krewFolder = "krew"

// krewManifest is the name of the manifest.
const krewManifest = "egress.yaml"

// krewPlugin is a manifest of krew (krew.googlecontainertools.github.com/v1alpha2).
type krewPlugin struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]string `json:"metadata"`
	Spec       krewSpec          `json:"spec"`
}

type krewSpec struct {
	Version          string         `json:"version"`
	Homepage         string         `json:"homepage,omitempty"`
	ShortDescription string         `json:"shortDescription"`
	Description      string         `json:"description"`
	Platforms        []krewPlatform `json:"platforms"`
}

type krewPlatform struct {
	Selector struct {
		MatchLabels map[string]string `json:"matchLabels"`
	} `json:"selector"`
	URI    string     `json:"uri"`
	SHA256 string     `json:"sha256"`
	Bin    string     `json:"bin"`
	Files  []krewFile `json:"files"`
}

type krewFile struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// writeKrew writes the archives of the plugin's binaries, and the manifest with which
// krew installs them. downloads is the URL of the folder that offers the archives;
// without it, the manifest names files, for krew's flag --archive.
func (p program) writeKrew(s source, downloads, dir string) error {
	manifest := krewPlugin{
		APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin",
		Metadata: map[string]string{"name": strings.TrimPrefix(p.Name, "kubectl-")},
		Spec: krewSpec{
			Version: "v" + s.Version, ShortDescription: "Explain and prove the egress of tenants",
			Description: "Answers whether anything is uncovered, why a pod has no proxy, whether a URL is allowed\nand whether isolation holds, and proposes allow lists, in clusters with egress.scw.\n",
		},
	}
	for _, target := range p.Platforms {
		name := p.file(s.Version, target) + ".tar.gz"
		archive := filepath.Join(dir, krewFolder, name)
		if err := p.writeArchive(s, filepath.Join(dir, binaryFolder, p.file(s.Version, target)), archive); err != nil {
			return err
		}
		sum, err := checksum(archive)
		if err != nil {
			return err
		}
		platform := krewPlatform{
			URI: name, SHA256: sum, Bin: p.Name,
			Files: []krewFile{{From: p.Name, To: "."}, {From: licence, To: "."}},
		}
		if downloads != "" {
			platform.URI = strings.TrimSuffix(downloads, "/") + "/" + name
		}
		platform.Selector.MatchLabels = map[string]string{"os": target.OS, "arch": target.Arch}
		manifest.Spec.Platforms = append(manifest.Spec.Platforms, platform)
	}
	encoded, err := yaml.Marshal(manifest)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, krewFolder, krewManifest), encoded, 0o644)
}

// licence is the file with the licence, which krew requires in archives.
const licence = "LICENSE"

// writeArchive writes an archive with the binary and the licence. It depends on their
// contents and on the time of the source alone.
func (p program) writeArchive(s source, binary, archive string) error {
	file, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	compressed := gzip.NewWriter(file)
	contents := tar.NewWriter(compressed)
	for _, entry := range []struct {
		name, path string
		mode       int64
	}{{p.Name, binary, 0o755}, {licence, filepath.Join(s.Dir, licence), 0o644}} {
		data, err := os.ReadFile(entry.path)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: entry.name, Mode: entry.mode, Size: int64(len(data)), ModTime: s.Time, Format: tar.FormatUSTAR}
		if err := contents.WriteHeader(header); err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
		if _, err := contents.Write(data); err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
	}
	if err := contents.Close(); err != nil {
		return err
	}
	if err := compressed.Close(); err != nil {
		return err
	}
	return file.Close()
}
