package controller

import (
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
)

func TestStartInformers(t *testing.T) {
	t.Parallel()
	informers := &informertest.FakeInformers{Scheme: newAPI(t).Scheme()}
	if err := StartInformers(t.Context(), informers, pluginPolicies[:1]); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for kind := range informers.InformersByGVK {
		kinds = append(kinds, kind.Kind)
	}
	slices.Sort(kinds)
	if got := strings.Join(kinds, " "); got != "CiliumNetworkPolicy EgressTenant EndpointSlice Namespace NetworkPolicy Service ValidatingAdmissionPolicyBinding" {
		t.Errorf("the watched kinds are %s", got)
	}
}

func TestStartInformersFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"no definition": {&meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "egress.scw", Kind: "EgressTenant"}}, "the API server does not know the kind Namespace: install the chart's crds/"},
		"no API server": {errors.New("connection refused"), "watching objects of kind Namespace: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			informers := &informertest.FakeInformers{Scheme: newAPI(t).Scheme(), Error: test.err}
			err := StartInformers(t.Context(), informers, nil)
			if !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

func TestCachesSynced(t *testing.T) {
	t.Parallel()
	for _, synced := range []bool{true, false} {
		check := CachesSynced(&informertest.FakeInformers{Synced: &synced})
		if err := check(httptest.NewRequestWithContext(t.Context(), "GET", "/readyz", nil)); (err == nil) != synced {
			t.Errorf("synced is %t, the check returns %v", synced, err)
		}
	}
}

// TestCacheOptions: objects that are not read are not cached, so that they cannot
// be stale, leak or use memory.
func TestCacheOptions(t *testing.T) {
	t.Parallel()
	options := CacheOptions("egress-system")
	if !options.ReaderFailOnMissingInformer {
		t.Error("a read may start an informer in the middle of an admission request")
	}
	for object, restriction := range options.ByObject {
		switch object.(type) {
		case *corev1.Secret:
			if got := restriction.Field.String(); got != "metadata.name=egress-sidecar" {
				t.Errorf("Secrets are restricted to %s", got)
			}
		case *admissionregistrationv1.ValidatingAdmissionPolicyBinding:
			if got := restriction.Label.String(); got != "app.kubernetes.io/name=egress-webhook" {
				t.Errorf("bindings are restricted to %s", got)
			}
		case *discoveryv1.EndpointSlice:
			want := map[string]string{"default": "kubernetes.io/service-name=kubernetes", "egress-system": "egress.scw/tenant"}
			for namespace, config := range restriction.Namespaces {
				if config.LabelSelector.String() != want[namespace] {
					t.Errorf("endpoints in %s are restricted to %v", namespace, config.LabelSelector)
				}
			}
			if len(restriction.Namespaces) != len(want) {
				t.Errorf("endpoints of the namespaces %v", restriction.Namespaces)
			}
		case *corev1.Service:
			checkServices(t, restriction.Transform)
		default:
			t.Errorf("a restriction on %T", object)
		}
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "web", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}}}
	if _, err := options.DefaultTransform(namespace); err != nil || namespace.ManagedFields != nil {
		t.Errorf("managed fields are kept: %+v (%v)", namespace.ManagedFields, err)
	}
	secret := &corev1.Secret{Data: map[string][]byte{"tls.key": []byte("a key")}, StringData: map[string]string{"tls.key": "a key"}}
	kept, err := options.DefaultTransform(secret)
	if stripped, isSecret := kept.(*corev1.Secret); err != nil || !isSecret || stripped.Data["tls.key"] != nil || stripped.StringData != nil {
		t.Errorf("the contents of Secrets are kept: %+v (%v)", kept, err)
	}
}

// checkServices: Services are reduced to names and addresses, except those of tenants in
// the namespace of the webhook.
func checkServices(t *testing.T, transform func(any) (any, error)) {
	t.Helper()
	for _, test := range []struct {
		namespace, tenant string
		whole             bool
	}{{"egress-system", "client-a", true}, {"egress-system", "", true}, {"web", "client-a", false}} {
		service := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: test.namespace, Name: "s", Labels: map[string]string{"egress.scw/tenant": test.tenant}},
			Spec:       corev1.ServiceSpec{ClusterIPs: []string{"10.32.0.9"}, Type: corev1.ServiceTypeClusterIP},
		}
		kept, err := transform(service)
		reduced, ok := kept.(*corev1.Service)
		if err != nil || !ok || reduced.Spec.ClusterIPs[0] != "10.32.0.9" || (reduced.Spec.Type != "") != test.whole {
			t.Errorf("a Service of %q in %s is cached as %+v (%v)", test.tenant, test.namespace, kept, err)
		}
	}
}
