package integration

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	ownPolicyHead = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: egress-scw}}"
	openPolicy    = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: open}, spec: {podSelector: {}, egress: [{}]}}"
)

func ownPolicyAttempts() []attempt {
	return []attempt{
		{name: "edit", request: merge(ownPolicyHead, "{spec: {egress: [{}]}}")},
		{name: "another selector", request: merge(ownPolicyHead, "{spec: {podSelector: {matchLabels: {app: other}}}}")},
		{name: "another label", request: merge(ownPolicyHead, labels("egress.scw/tenant: client-b"))},
		{name: "an owner, so that the garbage collector deletes it", request: merge(ownPolicyHead,
			"{metadata: {ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: none, uid: 00000000-0000-0000-0000-000000000000}]}}")},
		{
			name: "the finalizer taken off, without which it goes before the pods", prepare: withFinalizer,
			request: merge(ownPolicyHead, "{metadata: {finalizers: null}}"),
		},
		{name: "apply", request: apply("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: egress-scw}, spec: {podSelector: {}, egress: [{}]}}")},
		{name: "delete", request: remove(ownPolicyHead)},
		{name: "delete in the foreground", request: remove(ownPolicyHead, client.PropagationPolicy(metav1.DeletePropagationForeground))},
		{name: "delete all", request: func(ctx context.Context, c client.Client, namespace string) error {
			return c.DeleteAllOf(ctx, &networkingv1.NetworkPolicy{}, client.InNamespace(namespace))
		}},
		{name: "create", request: func(ctx context.Context, c client.Client, namespace string) error {
			err := create("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: egress-scw}, spec: {podSelector: {}, egress: [{}]}}")(ctx, c, namespace)
			if apierrors.IsAlreadyExists(err) {
				return nil // the webhook was faster: the guards had admitted the request
			}
			return err
		}},
	}
}

// withFinalizer is the policy of a namespace whose deletion was admitted.
func withFinalizer(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, "the policy", func(ctx context.Context) (bool, string) {
		err := merge(ownPolicyHead, "{metadata: {finalizers: [egress.scw/pods]}}")(ctx, shared.client, namespace)
		return err == nil, fmt.Sprint(err)
	})
}

func networkPolicyAttempts() []attempt {
	policy := func(name, spec string) string {
		return "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {" + name + "}, spec: " + spec + "}"
	}
	ingress := prepared(create(policy("name: mine", "{podSelector: {}, ingress: [{}]}")))
	return []attempt{
		{name: "allow all", request: create(openPolicy)},
		{name: "allow all, applied", request: apply(openPolicy)},
		{name: "allow all, with a generated name", request: create(policy("generateName: egress-", "{podSelector: {}, egress: [{}]}"))},
		{name: "with policy types", request: create(policy("name: p", "{podSelector: {}, policyTypes: [Ingress, Egress], egress: [{}]}"))},
		{name: "one port of the proxy", request: create(policy("name: p",
			"{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 172.16.28.8/32}}], ports: [{port: 3130, protocol: TCP}]}]}"))},
		{
			name: "a rule added to a policy", prepare: ingress,
			request: merge(policy("name: mine", "{}"), "{spec: {policyTypes: [Ingress, Egress], egress: [{}]}}"),
		},
		{
			name: "a rule of an older policy changed", prepare: prepared(create(policy("name: mine", "{podSelector: {}, egress: [{ports: [{port: 5432}]}]}"))),
			request: merge(policy("name: mine", "{}"), "{spec: {egress: [{}]}}"),
		},
	}
}

const (
	ciliumPolicy   = "{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: p}, "
	ciliumRedirect = "{apiVersion: cilium.io/v2, kind: CiliumLocalRedirectPolicy, metadata: {name: p}, "
	calicoPolicy   = "{apiVersion: crd.projectcalico.org/v1, kind: NetworkPolicy, metadata: {name: p}, "
	calicoV3Policy = "{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: p}, "
)

func cniPolicyAttempts() []attempt {
	cilium := right("cilium.io", "ciliumnetworkpolicies", "create", "patch")
	return []attempt{
		{name: "Cilium", rights: cilium, request: create(ciliumPolicy + "spec: {endpointSelector: {}, egress: [{toEntities: [all]}]}}")},
		{
			name: "Cilium, a list of specs", rights: cilium,
			request: create(ciliumPolicy + "specs: [{endpointSelector: {}, ingress: [{}]}, {endpointSelector: {}, egress: [{toEntities: [all]}]}]}"),
		},
		{
			name: "Cilium, a rule added to a policy", rights: cilium,
			prepare: prepared(create(ciliumPolicy + "spec: {endpointSelector: {}, ingress: [{}]}}")),
			request: merge(ciliumPolicy+"spec: {}}", "{spec: {egress: [{toEntities: [world]}]}}"),
		},
		{
			name: "Cilium, an address redirected", validation: 1, rights: right("cilium.io", "ciliumlocalredirectpolicies", "create"),
			request: create(ciliumRedirect + "spec: {redirectFrontend: {addressMatcher: {ip: 172.16.28.8, toPorts: [{port: '3130', protocol: TCP}]}}}}"),
		},
		{
			name: "Calico", rights: right("crd.projectcalico.org", "networkpolicies", "create"),
			request: create(calicoPolicy + "spec: {order: 1, types: [Egress], egress: [{action: Allow}]}}"),
		},
		{
			name: "Calico, version 3", rights: right("projectcalico.org", "networkpolicies", "create"),
			request: create(calicoV3Policy + "spec: {order: 1, types: [Egress], egress: [{action: Allow}]}}"),
		},
	}
}

// installCNIDefinitions defines the kinds of Cilium and Calico, only now: the
// guards exist before them. The definitions contain no schema, because the
// guards compare group and resource alone.
func installCNIDefinitions(t *testing.T) {
	t.Helper()
	for _, each := range []struct{ group, version, kind, plural string }{
		{"cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies"},
		{"cilium.io", "v2", "CiliumLocalRedirectPolicy", "ciliumlocalredirectpolicies"},
		{"crd.projectcalico.org", "v1", "NetworkPolicy", "networkpolicies"},
		{"projectcalico.org", "v3", "NetworkPolicy", "networkpolicies"},
	} {
		anything := true
		definition := &apiextensionsv1.CustomResourceDefinition{
			ObjectMeta: metav1.ObjectMeta{
				Name: each.plural + "." + each.group,
			},
			Spec: apiextensionsv1.CustomResourceDefinitionSpec{
				Group: each.group, Scope: apiextensionsv1.NamespaceScoped,
				Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: each.kind, Plural: each.plural},
				Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
					Name: each.version, Served: true, Storage: true,
					Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
						Type: "object", XPreserveUnknownFields: &anything,
					}},
				}},
			},
		}
		define(t, definition)
	}
}

// define creates a definition, waits until the API server serves its kind, and
// removes it when the test ends. The next test may define the same kind.
func define(t *testing.T, definition *apiextensionsv1.CustomResourceDefinition) {
	t.Helper()
	if err := shared.client.Create(t.Context(), definition); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shared.client.Delete(context.Background(), definition); err != nil {
			t.Error(err)
		}
		err := wait.PollUntilContextTimeout(context.Background(), 50*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
			err := shared.client.Get(ctx, client.ObjectKeyFromObject(definition), definition.DeepCopy())
			return apierrors.IsNotFound(err) && !isPublished(definition), client.IgnoreNotFound(err)
		})
		if err != nil {
			t.Errorf("definition %s does not go: %v", definition.Name, err)
		}
	})
	eventually(t, "the API to serve "+definition.Name, func(ctx context.Context) (bool, string) {
		if err := shared.client.Get(ctx, client.ObjectKeyFromObject(definition), definition); err != nil {
			return false, err.Error()
		}
		for _, condition := range definition.Status.Conditions {
			if condition.Type == apiextensionsv1.Established {
				return condition.Status == apiextensionsv1.ConditionTrue && isPublished(definition), condition.Message
			}
		}
		return false, "no condition"
	})
}

// isPublished reports whether the API server publishes the kind to clients, which it does
// some time after the definition is established, and ceases to do some time after its end.
func isPublished(definition *apiextensionsv1.CustomResourceDefinition) bool {
	at := slices.IndexFunc(definition.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool { return v.Served })
	published, err := shared.clientset.Discovery().ServerResourcesForGroupVersion(definition.Spec.Group + "/" + definition.Spec.Versions[at].Name)
	return err == nil && slices.ContainsFunc(published.APIResources, func(r metav1.APIResource) bool { return r.Name == definition.Spec.Names.Plural })
}
