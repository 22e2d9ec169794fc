package main

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-containerregistry/pkg/registry"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	helmregistry "helm.sh/helm/v4/pkg/registry"
	release "helm.sh/helm/v4/pkg/release/v1"

	"egress.scw/charts"
	"egress.scw/hack/local/images"
)

// example is a source whose Dir is not used: no test here compiles.
func example() source {
	return source{Version: "0.1.0", Revision: "abc", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// writeExample writes a release whose programs are files of this test.
func writeExample(t *testing.T, dir string, r repositories) {
	t.Helper()
	s := example()
	for _, folder := range []string{imageFolder, chartFolder} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(binary, []byte("program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range services {
		var built []images.Image
		for _, target := range p.Platforms {
			built = append(built, p.image(s, target, binary))
		}
		if err := writeIndex(filepath.Join(dir, imageFolder, p.Name), s.Version, r.service(p.Name), built); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeChart(s, r, dir); err != nil {
		t.Fatal(err)
	}
}

// The same source makes the same files.
func TestReproducible(t *testing.T) {
	var sums [2]string
	for i := range sums {
		dir := t.TempDir()
		writeExample(t, dir, repositories{})
		found, err := checksums(dir)
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = string(found)
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds differ:\n%s\n%s", sums[0], sums[1])
	}
	if count := strings.Count(sums[0], "\n"); count < 10 {
		t.Errorf("%d files: the test looks at the wrong folder", count)
	}
}

// The chart installs from a registry as Helm pulls it, and its default image is
// the release's. What is in the registry is not overwritten.
func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	r, err := newRepositories(host + "/example")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeExample(t, dir, r)
	for range 2 { // pushing the same content again is no error
		if err := push(t.Context(), dir, "0.1.0", r, io.Discard); err != nil {
			t.Fatal(err)
		}
	}

	client, err := helmregistry.NewClient(helmregistry.ClientOptPlainHTTP())
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := client.Pull(host + "/example/egress-webhook:0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	manifest := install(t, pulled.Chart.Data)
	for _, want := range []string{
		`image: "` + host + `/example/webhook:0.1.0"`, `image: ` + host + `/example/sidecar:0.1.0`, `image: "` + host + `/example/bootstrap:0.1.0"`,
	} {
		if !strings.Contains(manifest, want) {
			t.Errorf("the chart's default images are not those of the release: %s is missing:\n%s", want, manifest)
		}
	}

	other := t.TempDir()
	writeExample(t, other, repositories{}) // another default repository: another chart
	err = push(t.Context(), other, "0.1.0", r, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "exists with another content") {
		t.Errorf("got %v for another content of a released version", err)
	}
}

// install renders the chart in an archive as helm install does.
func install(t *testing.T, archive []byte) string {
	t.Helper()
	chart, err := loader.LoadArchive(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	if chart.Metadata.Version != "0.1.0" || chart.Metadata.AppVersion != "0.1.0" {
		t.Errorf("version %s, appVersion %s", chart.Metadata.Version, chart.Metadata.AppVersion)
	}
	client := action.NewInstall(action.NewConfiguration())
	client.DryRunStrategy = action.DryRunClient
	client.ReleaseName, client.Namespace = chartName, "egress-system"
	if client.KubeVersion, err = common.ParseKubeVersion("v1.37.2"); err != nil {
		t.Fatal(err)
	}
	values := map[string]any{
		"proxy": map[string]any{"addresses": []any{"172.16.28.8"}}, "cluster": map[string]any{"cidrs": []any{"10.32.0.0/20"}},
		"watch": map[string]any{"enabled": true, "credentials": "key", "config": map[string]any{"configMap": "egress"}},
	}
	installed, err := client.RunWithContext(t.Context(), chart, values)
	if err != nil {
		t.Fatal(err)
	}
	return installed.(*release.Release).Manifest
}

func TestChartWithoutTheDefaultRepository(t *testing.T) {
	example := repositories{"registry.example.com/example"}
	for _, values := range []string{"", "image:\n  repository: other\n"} {
		if _, err := setRepositories([]byte(values), example); err == nil {
			t.Errorf("no error for %q", values)
		}
	}
	files, err := fs.Sub(charts.EgressWebhook, chartName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readChart(files, example); err != nil {
		t.Error(err)
	}
}

func TestRegistryName(t *testing.T) {
	for registry, valid := range map[string]bool{"": true, "rg.fr-par.scw.cloud/example": true, "127.0.0.1:5000": true, "https://example.com": false, "example.com/UPPER": false} {
		if _, err := newRepositories(registry); (err == nil) != valid {
			t.Errorf("%q: got %v, want valid: %t", registry, err, valid)
		}
	}
}

// The SBOM of a Go program, here of this test, names its modules with versions.
func TestBOM(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sbom.json")
	if err := writeBOM(file, self, program{Name: "webhook"}, example()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var bom cyclonedx.BOM
	if err := json.Unmarshal(content, &bom); err != nil {
		t.Fatal(err)
	}
	if subject := bom.Metadata.Component; subject.Name != "webhook" || subject.Version != "0.1.0" || bom.Metadata.Timestamp != "2026-01-02T03:04:05Z" {
		t.Errorf("subject %+v, time %s", subject, bom.Metadata.Timestamp)
	}
	found := map[string]cyclonedx.Component{}
	for _, c := range *bom.Components {
		found[c.Name] = c
	}
	for name, url := range map[string]string{
		"std":                               "pkg:golang/std@",
		"github.com/CycloneDX/cyclonedx-go": "pkg:golang/github.com/CycloneDX/cyclonedx-go@v",
	} {
		c, ok := found[name]
		if !ok || !strings.HasPrefix(c.PackageURL, url) {
			t.Errorf("%s: %+v, want a URL that begins with %s", name, c, url)
		}
		if name != "std" && (c.Hashes == nil || len((*c.Hashes)[0].Value) != 64) {
			t.Errorf("%s has no checksum", name)
		}
	}
	if err := writeBOM(file, file, program{}, example()); err == nil {
		t.Error("no error for a file that is not a Go program")
	}
}
