package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// publication has definitions of kinds, as their project publishes them in a Go module.
type publication struct {
	module string
	// sum is that of the module's files, as in a go.sum.
	sum   string
	files []string
}

// monitoringDefinitions are those of the kinds of the chart's monitoring.
var monitoringDefinitions = []publication{{
	"github.com/prometheus-operator/prometheus-operator@v0.90.1", "h1:n/+FkLB6WpftBxJC8IEHrWXSA6uzNTocFmwU/ACkfeg=",
	[]string{
		"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_scrapeconfigs.yaml",
	},
}}

// installDefinitions installs published definitions until the test ends.
func installDefinitions(t *testing.T, publications []publication) {
	t.Helper()
	for _, published := range publications {
		dir := moduleFiles(t, published.module, published.sum)
		for _, file := range published.files {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Fatal(err)
			}
			definition := &apiextensionsv1.CustomResourceDefinition{}
			if err := yaml.Unmarshal(text, definition); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			define(t, definition)
		}
	}
}

// moduleFiles returns the folder of a module, which the go command downloads. It fails
// if the files are not those of the sum.
func moduleFiles(t *testing.T, module, sum string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", module)
	command.Dir = t.TempDir()
	output, err := command.Output()
	var downloaded struct{ Dir, Sum, Error string }
	if decodeErr := json.Unmarshal(output, &downloaded); err != nil || decodeErr != nil {
		t.Fatalf("go mod download %s: %v, %v: %s", module, err, decodeErr, downloaded.Error)
	}
	if downloaded.Sum != sum {
		t.Fatalf("%s has the sum %s, want %s", module, downloaded.Sum, sum)
	}
	return downloaded.Dir
}

// requireAccepted requires that the API server would store the object, and knows all of
// its fields.
func requireAccepted(t *testing.T, source string, object *unstructured.Unstructured) {
	t.Helper()
	text, err := yaml.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the kind "+object.GetKind(), func(ctx context.Context) (bool, string) {
		_, err = shared.cluster.Kubectl(ctx, bytes.NewReader(text), "apply", "--server-side", "--dry-run=server", "--force-conflicts", "--validate=strict", "--field-manager=gitops", "-f", "-")
		return err == nil || !strings.Contains(err.Error(), "no matches for kind"), fmt.Sprint(err)
	})
	if err != nil {
		t.Errorf("%s: %s %s: %v", source, object.GetKind(), object.GetName(), err)
	}
}

// decoded reads the objects of a file of YAML.
func decoded(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}
