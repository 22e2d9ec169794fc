package docs_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/release"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	_ "egress.scw/charts" // invalidates Go's cached test results when the chart changes
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/settings"
)

// Every block of YAML is one of two things: values of the chart, which have a
// first line of their own, or Kubernetes objects. The chart accepts the values.
// The objects have no unknown fields.
func TestExamples(t *testing.T) {
	tenants := map[string]*v1alpha1.EgressTenant{}
	var policies []*networkingv1.NetworkPolicy
	values := 0
	for _, p := range documentation(t) {
		blocks, _ := p.blocks(t)
		for _, b := range blocks {
			switch {
			case b.language != "yaml":
			case strings.HasPrefix(b.text, "# values.yaml\n"):
				values++
				requireValues(t, p, b)
			default:
				for _, object := range decode(t, p, b) {
					switch object := object.(type) {
					case *v1alpha1.EgressTenant:
						tenants[object.Name] = object
						if errs := object.Validate(); len(errs) > 0 {
							t.Errorf("%s:%d: EgressTenant %s: %v", p.path, b.line, object.Name, errs.ToAggregate())
						}
					case *networkingv1.NetworkPolicy:
						policies = append(policies, object)
					}
				}
			}
		}
	}
	if values == 0 || len(tenants) == 0 || len(policies) == 0 {
		t.Errorf("%d examples of values, %d of EgressTenants, %d of NetworkPolicies: each should have one", values, len(tenants), len(policies))
	}
	for _, policy := range policies {
		requirePolicy(t, policy, tenants)
	}
}

// decode reads the objects of a block. Unknown and duplicate fields are errors.
func decode(t *testing.T, p page, b block) []runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader([]byte(b.text))))
	var objects []runtime.Object
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("%s:%d: %v", p.path, b.line, err)
		}
		object, _, err := decoder.Decode(document, nil, nil)
		if err != nil {
			t.Errorf("%s:%d: neither an object nor values (which begin with the line # values.yaml): %v", p.path, b.line, err)
			continue
		}
		objects = append(objects, object)
	}
}

// requirePolicy requires that a NetworkPolicy of ours equals the one that the
// webhook builds for its tenant. The tenant must be documented as well.
func requirePolicy(t *testing.T, got *networkingv1.NetworkPolicy, tenants map[string]*v1alpha1.EgressTenant) {
	t.Helper()
	tenant := tenants[got.Labels[names.LabelTenant]]
	if tenant == nil {
		t.Errorf("NetworkPolicy %s is of a tenant that no example shows: %v", got.Name, got.Labels)
		return
	}
	s, err := settings.Parse([]byte("{apiVersion: egress.scw/v1alpha1, kind: WebhookSettings, proxy: {addresses: [172.16.28.8]}}"))
	if err != nil {
		t.Fatal(err)
	}
	tenant = tenant.DeepCopy()
	tenant.Status.ProxyURL = fmt.Sprintf("http://172.16.28.8:%d", tenant.Spec.ProxyPort()) // as the proxy serves it
	if diff := cmp.Diff(netpol.Build(tenant, got.Namespace, s), got); diff != "" {
		t.Errorf("NetworkPolicy %s differs from the webhook's: -webhook +documentation\n%s", got.Name, diff)
	}
}

// requireValues lets Helm render the chart with the values. Helm checks them
// against the schema first.
func requireValues(t *testing.T, p page, b block) {
	t.Helper()
	values := map[string]any{}
	// NAMESPACE is a placeholder: readers replace it, and the schema
	// refuses it.
	text := strings.ReplaceAll(b.text, "/NAMESPACE/", "/namespace/")
	if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
		t.Errorf("%s:%d: %v", p.path, b.line, err)
		return
	}
	if _, err := renderChart(t, values); err != nil {
		t.Errorf("%s:%d: the chart refuses these values: %v", p.path, b.line, err)
	}
}

// renderChart renders the chart without a cluster. The error is the chart's refusal of
// the values.
func renderChart(t *testing.T, values map[string]any) (release.Releaser, error) {
	t.Helper()
	version, err := common.ParseKubeVersion("v1.37.2")
	if err != nil {
		t.Fatal(err)
	}
	client := action.NewInstall(action.NewConfiguration())
	client.DryRunStrategy = action.DryRunClient
	client.KubeVersion = version
	client.ReleaseName, client.Namespace = "egress-webhook", "egress-system"
	chart, err := loader.Load("../../../charts/egress-webhook")
	if err != nil {
		t.Fatal(err)
	}
	return client.RunWithContext(t.Context(), chart, values)
}
