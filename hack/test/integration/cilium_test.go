package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"egress.scw/hack/local/programs"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

const ciliumTenant = "cilium"

// installCilium defines Cilium's real kind, and restarts the webhook, which looks
// for it at its start.
func installCilium(t *testing.T) {
	t.Helper()
	builder, err := programs.New()
	if err != nil {
		t.Fatal(err)
	}
	folder, err := builder.CiliumDefinitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(folder, "ciliumnetworkpolicies.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(text, definition); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { restartWebhook(t) }) // after the definition has gone
	define(t, definition)
	restartWebhook(t)
}

func restartWebhook(t *testing.T) {
	t.Helper()
	// Cleanups run after the test's context has ended.
	ctx := context.WithoutCancel(t.Context())
	if err := shared.cluster.Environment.Stop(ctx, 30*time.Second, "webhook"); err != nil {
		t.Fatal(err)
	}
	if err := shared.webhook.start(ctx); err != nil {
		t.Fatal(err)
	}
}

func ciliumPolicyIn(namespace string) *unstructured.Unstructured {
	policy := &unstructured.Unstructured{}
	policy.SetAPIVersion("cilium.io/v2")
	policy.SetKind("CiliumNetworkPolicy")
	policy.SetNamespace(namespace)
	policy.SetName(names.PolicyName)
	return policy
}

// TestCiliumPolicy: where the API server knows Cilium's kind, the namespace of a
// tenant with access to the API server has a CiliumNetworkPolicy for it, with the
// real schema, the rights of the chart, and the guards on. It is restored when
// another client changes it, and goes when it is not needed any more.
func TestCiliumPolicy(t *testing.T) {
	installCilium(t)
	publishAPIServer(t, 6443)
	tenant := tenant(ciliumTenant, 3240)
	tenant.Spec.ClusterAccess = []v1alpha1.ClusterAccess{{APIServer: true}}
	createTenant(t, &tenant)
	namespace := newNamespace(t, ciliumTenant)

	want := map[string]any{"endpointSelector": map[string]any{}, "egress": []any{map[string]any{
		"toEntities": []any{"kube-apiserver"},
		"toPorts":    []any{map[string]any{"ports": []any{map[string]any{"port": "6443", "protocol": "TCP"}}}},
	}}}
	requireCilium := func(after string) *unstructured.Unstructured {
		t.Helper()
		policy := ciliumPolicyIn(namespace)
		eventually(t, "the CiliumNetworkPolicy "+after, func(ctx context.Context) (bool, string) {
			if err := shared.client.Get(ctx, client.ObjectKeyFromObject(policy), policy); err != nil {
				return false, err.Error()
			}
			got := map[string]any{"spec": policy.Object["spec"], "specs": policy.Object["specs"], "tenant": policy.GetLabels()[names.LabelTenant]}
			diff := cmp.Diff(map[string]any{"spec": want, "specs": nil, "tenant": ciliumTenant}, got)
			return diff == "", diff
		})
		return policy
	}
	requireCilium("after the label")
	eventually(t, "the tenant to be ready", func(ctx context.Context) (bool, string) {
		condition, _, err := readiness(ctx, ciliumTenant)
		return condition.Status == metav1.ConditionTrue, fmt.Sprint(condition.Message, err)
	})

	head := "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: egress-scw}}"
	for name, damage := range map[string]request{
		"it was deleted":          remove(head),
		"it was opened":           merge(head, "{spec: {egress: [{toEntities: [all]}]}}"),
		"it was narrowed":         merge(head, "{spec: {endpointSelector: {matchLabels: {app: web}}}}"),
		"it was denied":           merge(head, "{spec: {egressDeny: [{toEntities: [all]}]}}"),
		"it got specs":            merge(head, "{specs: [{endpointSelector: {}, egress: [{toEntities: [all]}]}]}"),
		"it lost its label":       merge(head, labels("egress.scw/tenant: null")),
		"it got another's tenant": merge(head, labels("egress.scw/tenant: client-b")),
	} {
		if err := damage(t.Context(), shared.client, namespace); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		requireCilium("after " + name)
	}
	settled := requireCilium("at last")
	time.Sleep(time.Second) // a policy that is written again and again would look right, too
	if again := requireCilium("a second later"); again.GetResourceVersion() != settled.GetResourceVersion() {
		t.Error("the policy is right, and yet it is written")
	}
	requireNoOtherCilium(t, namespace)

	patch := func(object client.Object, change string) {
		t.Helper()
		if err := shared.client.Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", []byte(change))); err != nil {
			t.Fatal(err)
		}
	}
	requireNone := func(after string) {
		t.Helper()
		eventually(t, "the CiliumNetworkPolicy to go after "+after, func(ctx context.Context) (bool, string) {
			err := shared.client.Get(ctx, client.ObjectKeyFromObject(settled), ciliumPolicyIn(namespace))
			return apierrors.IsNotFound(err), fmt.Sprint(err)
		})
	}
	patch(&tenant, `{"spec": {"clusterAccess": null}}`)
	requireNone("the tenant's access")
	patch(&tenant, `{"spec": {"clusterAccess": [{"apiServer": true}]}}`)
	requireCilium("after the tenant got its access again")
	patch(namespaceNamed(namespace), `{"metadata": {"labels": {"egress.scw/tenant": null}}}`)
	requireNone("the label")
}

// publishAPIServer gives the API server endpoints with a port: one on loopback
// publishes none by itself.
func publishAPIServer(t *testing.T, port int32) {
	t.Helper()
	endpoints := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: "kubernetes-test",
			Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes", discoveryv1.LabelManagedBy: "test"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"172.16.28.20"}}},
		Ports:       []discoveryv1.EndpointPort{{Name: new("https"), Port: &port}},
	}
	if err := shared.client.Create(t.Context(), endpoints); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared.client.Delete(context.Background(), endpoints); err != nil {
			t.Error(err)
		}
	})
}

// requireNoOtherCilium requires that the rights of the webhook end with its own
// policy.
func requireNoOtherCilium(t *testing.T, namespace string) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(string(shared.cluster.Environment), "webhook", "kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	webhook, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other := ciliumPolicyIn(namespace)
	other.SetName("other")
	other.Object["spec"] = map[string]any{"endpointSelector": map[string]any{}, "ingress": []any{map[string]any{}}}
	err = webhook.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(other), client.FieldOwner("test"), client.ForceOwnership)
	if !apierrors.IsForbidden(err) {
		t.Errorf("another CiliumNetworkPolicy written by the webhook: %v; want a refusal", err)
	}
}
