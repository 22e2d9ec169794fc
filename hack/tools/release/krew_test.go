package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// The manifest has what krew requires: an archive for each platform whose sum it names,
// with the binary and a licence.
func TestKrewManifest(t *testing.T) {
	for _, downloads := range []string{"", "https://downloads.example.com/0.1.0/"} {
		dir, s := t.TempDir(), example()
		s.Dir = t.TempDir()
		for _, folder := range []string{binaryFolder, krewFolder} {
			if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		write := func(path, text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(filepath.Join(s.Dir, licence), "licence")
		for _, target := range plugin.Platforms {
			write(filepath.Join(dir, binaryFolder, plugin.file(s.Version, target)), "program of "+target.String())
		}
		if err := plugin.writeKrew(s, downloads, dir); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(dir, krewFolder, krewManifest))
		if err != nil {
			t.Fatal(err)
		}
		var manifest krewPlugin
		if err := yaml.UnmarshalStrict(text, &manifest); err != nil {
			t.Fatal(err)
		}
		if manifest.Kind != "Plugin" || manifest.Metadata["name"] != "egress" || manifest.Spec.Version != "v0.1.0" || len(manifest.Spec.ShortDescription) > 50 {
			t.Errorf("got %+v", manifest)
		}
		if len(manifest.Spec.Platforms) != 4 {
			t.Fatalf("%d platforms", len(manifest.Spec.Platforms))
		}
		for i, platform := range manifest.Spec.Platforms {
			target := plugin.Platforms[i]
			name, found := strings.CutPrefix(platform.URI, downloads)
			sum, err := checksum(filepath.Join(dir, krewFolder, name))
			if err != nil || !found || sum != platform.SHA256 || !regexp.MustCompile(`\.tar\.gz$`).MatchString(name) {
				t.Errorf("%+v: sum %s, %v", platform, sum, err)
			}
			if labels := platform.Selector.MatchLabels; labels["os"] != target.OS || labels["arch"] != target.Arch || platform.Bin != "kubectl-egress" {
				t.Errorf("got %+v, want %s", platform, target)
			}
			requireArchive(t, filepath.Join(dir, krewFolder, name), map[string]string{"kubectl-egress": "program of " + target.String(), licence: "licence"})
		}
	}
}

func requireArchive(t *testing.T, file string, want map[string]string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	compressed, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	contents := tar.NewReader(compressed)
	for {
		header, err := contents.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(contents)
		if err != nil || want[header.Name] != string(text) || header.Name == "kubectl-egress" && header.Mode != 0o755 {
			t.Errorf("%s: %q, mode %o, %v", header.Name, text, header.Mode, err)
		}
		delete(want, header.Name)
	}
	if len(want) > 0 {
		t.Errorf("%s lacks %v", file, want)
	}
}
