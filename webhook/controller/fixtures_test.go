package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/applyconfigurations"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/settings"
)

// The fixtures of the controllers' tests: a tenant, its namespace and their
// cluster, in the memory of the fake client.

func settingsFixture() *settings.Settings {
	return &settings.Settings{
		Proxy: settings.Proxy{Addresses: []netip.Addr{netip.MustParseAddr("172.16.28.8")}},
		DNS:   settings.DNS{Pods: []settings.DNSPods{{Namespace: "kube-system", PodLabels: map[string]string{"k8s-app": "kube-dns"}, Ports: []uint16{53}}}},
	}
}

// protectedFixture are the namespaces that cannot belong to a tenant.
func protectedFixture() sets.Set[string] { return sets.New("kube-system", "pki") }

func tenantFixture(name string, port int32) *v1alpha1.EgressTenant {
	return &v1alpha1.EgressTenant{
		ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 1},
		Spec:       v1alpha1.EgressTenantSpec{Path: v1alpha1.PathProxy, Proxy: &v1alpha1.TenantProxy{Port: port}},
	}
}

// namespaceFixture has the label of the tenant, unless tenant is empty.
func namespaceFixture(name, tenant string) *corev1.Namespace {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if tenant != "" {
		namespace.Labels = map[string]string{names.LabelTenant: tenant}
	}
	return namespace
}

// policyFixture is the policy of the tenant, changed.
func policyFixture(namespace string, tenant *v1alpha1.EgressTenant, changes ...func(*networkingv1.NetworkPolicy)) *networkingv1.NetworkPolicy {
	policy := netpol.Build(tenant, namespace, settingsFixture())
	policy.UID = "the-first"
	for _, change := range changes {
		change(policy)
	}
	return policy
}

// Changes of a policy by other clients.

func openToEverything(policy *networkingv1.NetworkPolicy) {
	policy.Spec.Egress = append(policy.Spec.Egress, networkingv1.NetworkPolicyEgressRule{})
}

func withoutTenantLabel(policy *networkingv1.NetworkPolicy) {
	policy.Labels = map[string]string{"app": "other"}
}

func withIngressRule(policy *networkingv1.NetworkPolicy) {
	policy.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{}}
}

func forSomePods(policy *networkingv1.NetworkPolicy) {
	policy.Spec.PodSelector.MatchLabels = map[string]string{"app": "web"}
}

func withoutEgressType(policy *networkingv1.NetworkPolicy) {
	policy.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
}

func withoutRules(policy *networkingv1.NetworkPolicy) { policy.Spec.Egress = nil }

func withFinalizer(policy *networkingv1.NetworkPolicy) {
	policy.Finalizers = []string{"example.test/keep"}
}

func beingDeleted(policy *networkingv1.NetworkPolicy) {
	withFinalizer(policy)
	policy.DeletionTimestamp = new(metav1.Now())
}

func withForeignMetadata(policy *networkingv1.NetworkPolicy) {
	policy.Labels["team"] = "platform"
	policy.Annotations = map[string]string{"note": "seen"}
}

// api is an API server in memory. It counts the writes, and returns the errors
// that a test sets.
type api struct {
	client.Client
	applied, deleted, statusWrites int    // applied counts the updates of policies too
	lastApplied                    []byte // JSON
	failApply, failDelete          error
	failGet, failList              error  // failGet is for policies only
	beforeDelete                   func() // a concurrent change, immediately before the deletion
}

func newAPI(t *testing.T, objects ...client.Object) *api {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{admissionregistrationv1.AddToScheme, certmanagerv1.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{pluginPolicies[0].Kind, pluginPolicies[0].Kind + "List"} {
		var object runtime.Object = &unstructured.Unstructured{}
		if strings.HasSuffix(kind, "List") {
			object = &unstructured.UnstructuredList{}
		}
		scheme.AddKnownTypeWithName(schema.GroupVersionKind{Group: pluginPolicies[0].Group, Version: pluginPolicies[0].Version, Kind: kind}, object)
	}
	server := &api{}
	server.Client = fake.NewClientBuilder().WithScheme(scheme).WithReturnManagedFields().
		WithTypeConverters(policyConverter{applyconfigurations.NewTypeConverter(scheme)}, managedfields.NewDeducedTypeConverter()).
		WithStatusSubresource(&v1alpha1.EgressTenant{}).WithObjects(objects...).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				if _, isPolicy := object.(*networkingv1.NetworkPolicy); isPolicy && server.failGet != nil {
					return server.failGet
				}
				return c.Get(ctx, key, object, options...)
			},
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				if server.failList != nil {
					return server.failList
				}
				return c.List(ctx, list, options...)
			},
			Apply: func(ctx context.Context, c client.WithWatch, config runtime.ApplyConfiguration, options ...client.ApplyOption) error {
				server.applied++
				server.lastApplied, _ = json.Marshal(config)
				if server.failApply != nil {
					return server.failApply
				}
				object, counted := config.(interface {
					GetNamespace() string
					GetName() string
					SetGeneration(generation int64)
				})
				if !counted {
					return c.Apply(ctx, config, options...)
				}
				before := c.Get(ctx, client.ObjectKey{Namespace: object.GetNamespace(), Name: object.GetName()}, &networkingv1.NetworkPolicy{})
				err := c.Apply(ctx, config, options...)
				if err == nil && before == nil {
					object.SetGeneration(2) // the fake client does not count
				}
				return err
			},
			Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
				if isOurs(options) {
					server.applied++
					server.lastApplied, _ = json.Marshal(object)
					if server.failApply != nil {
						return server.failApply
					}
				}
				return c.Update(ctx, object, options...)
			},
			Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
				server.deleted++
				if server.beforeDelete != nil {
					server.beforeDelete()
				}
				if server.failDelete != nil {
					return server.failDelete
				}
				return c.Delete(ctx, object, options...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, name string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
				server.statusWrites++
				return c.SubResource(name).Patch(ctx, object, patch, options...)
			},
		}).Build()
	return server
}

// isOurs reports whether an update is one of the webhook, and not of a test.
func isOurs(options []client.UpdateOption) bool {
	o := &client.UpdateOptions{}
	o.ApplyOptions(options)
	return o.FieldManager == names.FieldOwner
}

// policyConverter works around a defect of the fake client: it adds a status to
// NetworkPolicies, and then refuses it because their schema has no status.
type policyConverter struct{ managedfields.TypeConverter }

func (c policyConverter) ObjectToTyped(object runtime.Object, options ...typed.ValidationOptions) (*typed.TypedValue, error) {
	if content, ok := object.(*unstructured.Unstructured); ok && content.GetKind() == "NetworkPolicy" {
		delete(content.Object, "status")
	}
	return c.TypeConverter.ObjectToTyped(object, options...)
}

// policyIn returns the policy in a namespace, nil if there is none.
func (a *api) policyIn(t *testing.T, namespace string) *networkingv1.NetworkPolicy {
	t.Helper()
	policy := &networkingv1.NetworkPolicy{}
	err := a.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: names.PolicyName}, policy)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		t.Fatal(err)
	}
	return policy
}

// recorder collects events.
type recorder struct{ events []string }

func (r *recorder) Eventf(regarding, _ runtime.Object, eventType, reason, action, note string, args ...any) {
	name := regarding.(client.Object).GetName()
	r.events = append(r.events, fmt.Sprintf("%s %s/%s %s: %s", name, eventType, reason, action, fmt.Sprintf(note, args...)))
}
