package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"egress.scw/bootstrap/config"
	"egress.scw/hack/local/helm"
)

const gitOpsFolder = "../../../docs/gitops"

// gitOpsDefinitions are those of the kinds in docs/gitops.
var gitOpsDefinitions = []publication{
	{
		"github.com/fluxcd/source-controller@v1.9.0", "h1:5msg2yyjVYDULZos+2ve8MZzcSqTpusiXmrOeBhc9yY=",
		[]string{
			"config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",
			"config/crd/bases/source.toolkit.fluxcd.io_helmrepositories.yaml",
			"config/crd/bases/source.toolkit.fluxcd.io_ocirepositories.yaml",
		},
	},
	{
		"github.com/fluxcd/kustomize-controller@v1.9.0", "h1:WfM+bQUGUGW2qyrrTgh2bIVSZSPmc3JC7234K8NiTWQ=",
		[]string{"config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml"},
	},
	{
		"github.com/fluxcd/helm-controller@v1.6.0", "h1:jlS5X11SG26gspubB5aLrdVSCm0q0tA4ULsY+vwSkL0=",
		[]string{"config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml"},
	},
	{
		"github.com/argoproj/argo-cd/v3@v3.5.7", "h1:Xm1BF+I5OgDKUG3SDK49vn2/Y5AMyaNVko+/JT08gj0=",
		[]string{"manifests/crds/application-crd.yaml"},
	},
}

// kustomized renders a folder of docs/gitops.
func kustomized(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(gitOpsFolder, folder))
	if err != nil {
		t.Fatalf("kustomize build %s: %v", folder, err)
	}
	text, err := resources.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, text)
}

// The API server accepts each object of docs/gitops, strictly, with the definitions that
// Flux and Argo CD publish.
func TestGitOpsExamples(t *testing.T) {
	installDefinitions(t, gitOpsDefinitions)
	for _, name := range []string{"flux-system", "argocd", "cert-manager"} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := shared.client.Create(t.Context(), namespace); err == nil {
			t.Cleanup(func() { _ = shared.client.Delete(context.Background(), namespace) })
		}
	}
	kinds := map[string]int{}
	accept := func(source string, objects []*unstructured.Unstructured) {
		for _, object := range objects {
			kinds[object.GetKind()]++
			requireAccepted(t, source, object)
		}
	}
	for _, folder := range []string{"flux/cert-manager", "flux/dev", "flux/prod", "argocd/dev", "argocd/prod"} {
		accept(folder, kustomized(t, folder))
	}
	for _, environment := range []string{"dev", "prod"} {
		file := filepath.Join("flux/clusters", environment+".yaml")
		text, err := os.ReadFile(filepath.Join(gitOpsFolder, file))
		if err != nil {
			t.Fatal(err)
		}
		objects := decoded(t, text)
		accept(file, objects)
		requireOrder(t, file, objects)
	}
	for _, kind := range []string{"HelmRelease", "HelmRepository", "OCIRepository", "Kustomization", "Application"} {
		if kinds[kind] == 0 {
			t.Errorf("no example has the kind %s", kind)
		}
	}
}

// requireOrder requires that each Kustomization of Flux reads an existing folder, and
// that those it depends on exist.
func requireOrder(t *testing.T, file string, objects []*unstructured.Unstructured) {
	t.Helper()
	var names []string
	for _, object := range objects {
		names = append(names, object.GetName())
	}
	dependencies := 0
	for _, object := range objects {
		path, _, _ := unstructured.NestedString(object.Object, "spec", "path")
		if _, err := os.Stat(filepath.Join("../../..", path, "kustomization.yaml")); err != nil {
			t.Errorf("%s: %s: %v", file, object.GetName(), err)
		}
		on, _, _ := unstructured.NestedSlice(object.Object, "spec", "dependsOn")
		for _, each := range on {
			dependencies++
			if name := each.(map[string]any)["name"]; !slices.Contains(names, fmt.Sprint(name)) {
				t.Errorf("%s: %s depends on %v, which does not exist", file, object.GetName(), name)
			}
		}
	}
	if dependencies == 0 {
		t.Errorf("%s: no Kustomization depends on another one", file)
	}
}

// bootstrap accepts the egress.yaml of each environment. The chart accepts its values,
// and their tenants are those of egress.yaml. Flux and Argo CD read the same values.
func TestGitOpsEnvironments(t *testing.T) {
	for _, environment := range []string{"dev", "prod"} {
		t.Run(environment, func(t *testing.T) {
			objects := kustomized(t, "egress/"+environment)
			if len(objects) != 1 {
				t.Fatalf("%d objects, want the one of bootstrap", len(objects))
			}
			text, err := yaml.Marshal(objects[0].Object)
			if err != nil {
				t.Fatal(err)
			}
			egress, err := config.Load("egress.yaml", text)
			if err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			values := fluxValues(t, environment)
			release := helm.Release{
				Name: releaseName, Namespace: releaseNamespace, Values: values, Chart: "../../../charts/egress-webhook",
			}
			if _, err := release.Template(t.Context(), "v1.37.2"); err != nil {
				t.Error(err)
			}
			want, _, err := unstructured.NestedSlice(objects[0].Object, "spec", "tenants")
			if err != nil {
				t.Fatal(err)
			}
			if a, b := mustJSON(t, want), mustJSON(t, values["tenants"]); a != b || len(egress.Spec.Tenants) == 0 {
				t.Errorf("the tenants of egress.yaml are\n%s\nthose of the values\n%s", a, b)
			}
			for _, object := range kustomized(t, "argocd/"+environment) {
				sources, _, _ := unstructured.NestedSlice(object.Object, "spec", "sources")
				for _, source := range sources {
					files, _, _ := unstructured.NestedStringSlice(source.(map[string]any), "helm", "valueFiles")
					for _, file := range files {
						path, found := strings.CutPrefix(file, "$environment/docs/gitops/flux/"+environment+"/")
						if _, err := os.Stat(filepath.Join(gitOpsFolder, "flux", environment, path)); err != nil || !found {
							t.Errorf("Argo CD reads %s, which is no file of the environment: %v", file, err)
						}
					}
				}
			}
		})
	}
}

// fluxValues returns the values of a HelmRelease, as Flux merges them from the ConfigMap
// that it names.
func fluxValues(t *testing.T, environment string) map[string]any {
	t.Helper()
	var release, configMap *unstructured.Unstructured
	for _, object := range kustomized(t, "flux/"+environment) {
		switch object.GetKind() {
		case "HelmRelease":
			release = object
		case "ConfigMap":
			configMap = object
		}
	}
	if release == nil || configMap == nil {
		t.Fatal("no HelmRelease, or no ConfigMap")
	}
	from, _, err := unstructured.NestedSlice(release.Object, "spec", "valuesFrom")
	if err != nil || len(from) == 0 {
		t.Fatalf("valuesFrom: %v, %v", from, err)
	}
	dir := t.TempDir()
	var files []string
	for _, each := range from {
		reference := each.(map[string]any)
		if reference["name"] != configMap.GetName() || !strings.HasPrefix(configMap.GetName(), "egress-values-") {
			t.Fatalf("the HelmRelease reads ConfigMap %v, the generated one is %s", reference["name"], configMap.GetName())
		}
		key := fmt.Sprint(reference["valuesKey"])
		text, found, err := unstructured.NestedString(configMap.Object, "data", key)
		if err != nil || !found {
			t.Fatalf("the ConfigMap has no %s: %v", key, err)
		}
		file := filepath.Join(dir, key)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	merged, err := helm.LoadValues(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files[1:] {
		values, err := helm.LoadValues(file)
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range values { // the files have no key in common
			if merged[key] != nil {
				t.Errorf("both files of values have %s", key)
			}
			merged[key] = value
		}
	}
	return merged
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
