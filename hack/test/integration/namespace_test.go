package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
)

// tenantLabel is a merge patch that sets the tenant label.
func tenantLabel(tenant string) client.Patch {
	return client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, names.LabelTenant, tenant))
}

func namespaceNamed(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// removeValidation removes the validating webhooks, and returns a
// function that configures them again.
func removeValidation(t *testing.T) (restore func()) {
	t.Helper()
	var configuration admissionregistrationv1.ValidatingWebhookConfiguration
	if err := shared.client.Get(t.Context(), client.ObjectKey{Name: releaseName}, &configuration); err != nil {
		t.Fatal(err)
	}
	if err := shared.client.Delete(t.Context(), configuration.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	return func() {
		configuration.ResourceVersion, configuration.UID = "", ""
		if err := shared.client.Create(context.Background(), &configuration); err != nil {
			t.Fatal(err)
		}
		object := namespaceNamed("no-such-tenant")
		object.Labels = map[string]string{names.LabelTenant: "no-such-tenant"}
		err := wait.PollUntilContextTimeout(context.Background(), 50*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
			err := shared.client.Create(ctx, object.DeepCopy(), client.DryRunAll)
			return err != nil && strings.Contains(err.Error(), "names no EgressTenant"), nil
		})
		if err != nil {
			t.Errorf("the webhook of namespaces is not configured again: %v", err)
		}
	}
}

// setTenantUnchecked labels a namespace while the webhook of namespaces is not
// configured, as in a restored backup.
func setTenantUnchecked(t *testing.T, namespace, tenant string) {
	t.Helper()
	defer removeValidation(t)()
	eventually(t, "the label "+tenant, func(ctx context.Context) (bool, string) {
		err := shared.client.Patch(ctx, namespaceNamed(namespace), tenantLabel(tenant))
		return err == nil, fmt.Sprint(err)
	})
}

// A label that names no tenant is refused, whichever way it is set. The message
// contains no other tenant. Namespaces that the cluster depends on are not asked
// about.
func TestUnknownTenantIsRefused(t *testing.T) {
	namespace := newNamespace(t, "client-a")
	object := func() *corev1.Namespace { return namespaceNamed(namespace) }
	for name, try := range map[string]func() error{
		"created": func() error {
			created := namespaceNamed("unknown-tenant")
			created.Labels = map[string]string{names.LabelTenant: "client-x"}
			return shared.client.Create(t.Context(), created)
		},
		"labelled":  func() error { return shared.client.Patch(t.Context(), object(), tenantLabel("client-x")) },
		"empty":     func() error { return shared.client.Patch(t.Context(), object(), tenantLabel("")) },
		"by status": func() error { return shared.client.Status().Patch(t.Context(), object(), tenantLabel("client-x")) },
		"by finalize": func() error {
			var current corev1.Namespace
			if err := shared.client.Get(t.Context(), client.ObjectKey{Name: namespace}, &current); err != nil {
				return err
			}
			current.Labels[names.LabelTenant] = "client-x"
			_, err := shared.clientset.CoreV1().Namespaces().Finalize(t.Context(), &current, metav1.UpdateOptions{})
			return err
		},
	} {
		err := try()
		if err == nil || !strings.Contains(err.Error(), `admission webhook "namespaces.egress.scw" denied the request`) {
			t.Errorf("%s: error is %v, want a refusal", name, err)
			continue
		}
		if strings.Contains(err.Error(), "client-a") {
			t.Errorf("%s: the name of another tenant is in: %v", name, err)
		}
	}
	if err := shared.client.Patch(t.Context(), object(), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"team":"orders"}}}`))); err != nil {
		t.Errorf("another label: %v", err)
	}
	for _, protected := range []string{metav1.NamespaceSystem, metav1.NamespaceDefault, metav1.NamespacePublic, releaseNamespace} {
		if err := shared.client.Patch(t.Context(), namespaceNamed(protected), tenantLabel("client-x"), client.DryRunAll); err != nil {
			t.Errorf("%s: %v", protected, err)
		}
	}
}

// Pods of a namespace whose label names no tenant all the same are refused, without
// the names of other tenants.
func TestPodsOfUnknownTenantAreRefused(t *testing.T) {
	namespace := newNamespace(t, "")
	setTenantUnchecked(t, namespace, "client-x")
	err := shared.client.Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "p"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}},
	})
	if err == nil || !strings.Contains(err.Error(), "egress.scw/tenant=client-x") || strings.Contains(err.Error(), "client-a") {
		t.Errorf("error is %v", err)
	}
	// What exists stays manageable.
	if err := shared.client.Patch(t.Context(), namespaceNamed(namespace), client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"team":"orders"}}}`))); err != nil {
		t.Errorf("another label: %v", err)
	}
}

// A namespace gets the Pod Security Standard with the tenant label, unless it has a
// stricter one, and Kubernetes enforces it.
func TestPodSecurityComesWithTheTenant(t *testing.T) {
	const label = "pod-security.kubernetes.io/enforce"
	for before, want := range map[string]string{"": "baseline", "privileged": "baseline", "restricted": "restricted"} {
		namespace := newNamespace(t, "")
		if before != "" {
			patch := client.RawPatch("application/merge-patch+json", fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, label, before))
			if err := shared.client.Patch(t.Context(), namespaceNamed(namespace), patch); err != nil {
				t.Fatal(err)
			}
		}
		labelled, set := namespaceNamed(namespace), shared.client.Patch
		if before == "privileged" { // subresources write labels too
			set = func(ctx context.Context, object client.Object, patch client.Patch, _ ...client.PatchOption) error {
				return shared.client.Status().Patch(ctx, object, patch)
			}
		}
		if err := set(t.Context(), labelled, tenantLabel("client-a")); err != nil {
			t.Fatal(err)
		}
		if got := labelled.Labels[label]; got != want {
			t.Errorf("%q: the standard is %q, want %q", before, got, want)
		}
		// The API server reads the label from a cache, which may be behind on a busy machine.
		eventually(t, fmt.Sprintf("%q: a pod on the host's network to be refused", before), func(ctx context.Context) (bool, string) {
			err := shared.client.Create(ctx, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "host"},
				Spec:       corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{{Name: "c", Image: "none"}}},
			}, client.DryRunAll)
			return err != nil && strings.Contains(err.Error(), "violates PodSecurity"), fmt.Sprint("error is ", err)
		})
	}
	for _, namespace := range []string{newNamespace(t, ""), metav1.NamespaceDefault, metav1.NamespaceSystem} {
		var other corev1.Namespace
		if err := shared.client.Get(t.Context(), client.ObjectKey{Name: namespace}, &other); err != nil {
			t.Fatal(err)
		}
		if got := other.Labels[label]; got != "" {
			t.Errorf("%s, without a tenant, has the standard %q", namespace, got)
		}
	}
}
