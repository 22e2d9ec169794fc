// Package chart_test checks properties that the egress-webhook chart must have
// for every value it accepts, and values that it must refuse. Helm renders the
// chart here as for an installation, without a cluster.
package chart_test

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	release "helm.sh/helm/v4/pkg/release/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"egress.scw/charts"
	"egress.scw/webhook/api/v1alpha1"
)

const (
	releaseNamespace = "egress-system"

	// The required values, which suffice for an installation.
	minimalValues = "proxy: {addresses: [172.16.28.8]}"
)

// rendered is Helm's output: the manifest for the cluster, and the notes for
// the user.
type rendered struct {
	manifest string
	notes    string
	objects  []runtime.Object
}

// install renders the chart with the values, given as YAML, for Kubernetes 1.37.
func install(t *testing.T, values string) (rendered, error) {
	t.Helper()
	return installOn(t, "v1.37.2", values)
}

// installOn renders it for another version, and for a cluster with further
// API versions.
func installOn(t *testing.T, kubernetes, values string, apis ...string) (rendered, error) {
	t.Helper()
	version, err := common.ParseKubeVersion(kubernetes)
	if err != nil {
		t.Fatal(err)
	}
	client := action.NewInstall(action.NewConfiguration())
	client.DryRunStrategy = action.DryRunClient
	client.KubeVersion = version
	client.APIVersions = apis
	client.ReleaseName = "egress-webhook"
	client.Namespace = releaseNamespace
	releaser, err := client.RunWithContext(t.Context(), load(t), parse(t, values))
	if err != nil {
		return rendered{}, err
	}
	r, ok := releaser.(*release.Release)
	if !ok {
		t.Fatalf("Helm returned a %T", releaser)
	}
	return rendered{r.Manifest, r.Info.Notes, decode(t, r.Manifest)}, nil
}

// mustInstall is install with values that the chart must accept.
func mustInstall(t *testing.T, values string) rendered {
	t.Helper()
	r, err := install(t, values)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// load reads the chart again each time: rendering changes it.
func load(t *testing.T) *chart.Chart {
	t.Helper()
	root, err := fs.Sub(charts.EgressWebhook, "egress-webhook")
	if err != nil {
		t.Fatal(err)
	}
	var files []*archive.BufferedFile
	if err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, path)
		files = append(files, &archive.BufferedFile{Name: path, Data: content})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	c, err := loader.LoadFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func parse(t *testing.T, values string) map[string]any {
	t.Helper()
	parsed := map[string]any{}
	if err := yaml.Unmarshal([]byte(values), &parsed); err != nil {
		t.Fatalf("%v in values:\n%s", err, values)
	}
	return parsed
}

// decode reads every object into its Go type. Unknown and duplicate fields are
// errors, and so are kinds that the scheme does not know.
func decode(t *testing.T, manifest string) []runtime.Object {
	t.Helper()
	decoder := serializer.NewCodecFactory(scheme(t), serializer.EnableStrict).UniversalDeserializer()
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifest)))
	var objects []runtime.Object
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		objects = append(objects, object)
	}
}

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, certmanager.AddToScheme, v1alpha1.AddToScheme,
		v1alpha2.Install, v1beta1.Install, monitoringv1.AddToScheme, monitoringv1alpha1.AddToScheme,
	} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// all returns the rendered objects of one type.
func all[T runtime.Object](r rendered) []T {
	var found []T
	for _, object := range r.objects {
		if o, ok := object.(T); ok {
			found = append(found, o)
		}
	}
	return found
}

// only returns the single rendered object of a type.
func only[T runtime.Object](t *testing.T, r rendered) T {
	t.Helper()
	found := all[T](r)
	if len(found) != 1 {
		t.Fatalf("the chart renders %d objects of type %T, not one", len(found), *new(T))
	}
	return found[0]
}

// named returns the rendered object of a type and a name.
func named[T client.Object](t *testing.T, r rendered, name string) T {
	t.Helper()
	found := slices.DeleteFunc(all[T](r), func(object T) bool { return object.GetName() != name })
	if len(found) != 1 {
		t.Fatalf("the chart renders %d objects of type %T called %s, not one", len(found), *new(T), name)
	}
	return found[0]
}

// definition returns the CRD that the chart installs.
func definition(t *testing.T) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	return only[*apiextensionsv1.CustomResourceDefinition](t, rendered{objects: decode(t, string(charts.EgressTenantCRD))})
}
