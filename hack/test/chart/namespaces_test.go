package chart_test

import (
	"slices"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"egress.scw/webhook/api/names"
)

// namespaceWebhooks returns the webhooks of namespaces. The mutating one is nil
// without a Pod Security Standard.
func namespaceWebhooks(t *testing.T, r rendered) (*admissionregistrationv1.ValidatingWebhook, *admissionregistrationv1.MutatingWebhook) {
	t.Helper()
	validating := only[*admissionregistrationv1.ValidatingWebhookConfiguration](t, r)
	if validating.Annotations[certmanager.WantInjectAnnotation] == "" {
		t.Errorf("annotations %v", validating.Annotations)
	}
	var mutating *admissionregistrationv1.MutatingWebhook
	for i, webhook := range only[*admissionregistrationv1.MutatingWebhookConfiguration](t, r).Webhooks {
		if webhook.Name == "namespaces.egress.scw" {
			mutating = &only[*admissionregistrationv1.MutatingWebhookConfiguration](t, r).Webhooks[i]
		}
	}
	return validatingWebhook(t, r, "namespaces.egress.scw"), mutating
}

func validatingWebhook(t *testing.T, r rendered, name string) *admissionregistrationv1.ValidatingWebhook {
	t.Helper()
	webhooks := only[*admissionregistrationv1.ValidatingWebhookConfiguration](t, r).Webhooks
	i := slices.IndexFunc(webhooks, func(w admissionregistrationv1.ValidatingWebhook) bool { return w.Name == name })
	if i < 0 {
		t.Fatalf("%s is not among the %d validating webhooks", name, len(webhooks))
	}
	return &webhooks[i]
}

// Only namespaces with the tenant label depend on the webhook, and none that the
// cluster or the webhook depends on.
func TestNamespaceWebhooksSelectTenantsOnly(t *testing.T) {
	validating, mutating := namespaceWebhooks(t, mustInstall(t, minimalValues))
	if mutating == nil {
		t.Fatal("no namespace gets a Pod Security Standard")
	}
	object, err := metav1.LabelSelectorAsSelector(validating.ObjectSelector)
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := metav1.LabelSelectorAsSelector(validating.NamespaceSelector)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"orders": true, "cert-manager": false, "kube-system": false, "default": false, "kube-public": false, "kube-node-lease": false, releaseNamespace: false,
	} {
		own := labels.Set{corev1.LabelMetadataName: name, names.LabelTenant: ""}
		if got := object.Matches(own) && namespace.Matches(own); got != want {
			t.Errorf("namespace %s with the tenant label: selected %t, want %t", name, got, want)
		}
		if delete(own, names.LabelTenant); object.Matches(own) {
			t.Errorf("namespace %s is selected without the tenant label", name)
		}
	}
	if diff := cmp.Diff(validating.NamespaceSelector, mutating.NamespaceSelector); diff != "" {
		t.Errorf("-validating +mutating\n%s", diff)
	}
	if diff := cmp.Diff(validating.ObjectSelector, mutating.ObjectSelector); diff != "" {
		t.Errorf("-validating +mutating\n%s", diff)
	}
	if diff := cmp.Diff(validating.MatchConditions, mutating.MatchConditions); diff != "" || len(validating.MatchConditions) != 1 {
		t.Errorf("-validating +mutating\n%s", diff)
	}
}

// Subresources write labels too. Without an answer, no namespace gets the label.
func TestNamespaceWebhooksFailClosed(t *testing.T) {
	validating, mutating := namespaceWebhooks(t, mustInstall(t, minimalValues))
	if want := []string{"namespaces", "namespaces/status", "namespaces/finalize"}; !slices.Equal(validating.Rules[0].Resources, want) {
		t.Errorf("the validating webhook covers %v, want %v", validating.Rules[0].Resources, want)
	} else if !slices.Equal(mutating.Rules[0].Resources, want) {
		t.Errorf("the mutating webhook covers %v, want %v", mutating.Rules[0].Resources, want)
	}
	if *validating.FailurePolicy != admissionregistrationv1.Fail || *mutating.FailurePolicy != admissionregistrationv1.Fail {
		t.Error("a namespace can get the label without an answer")
	}
	if path := validating.ClientConfig.Service.Path; *path != names.NamespaceValidationPath {
		t.Errorf("the path is %s", *path)
	}
	if path := mutating.ClientConfig.Service.Path; *path != names.NamespaceMutationPath {
		t.Errorf("the path is %s", *path)
	}
}

func TestPodSecurityCanBeOff(t *testing.T) {
	for values, want := range map[string]bool{
		"": true,
		"\nnamespaces: {podSecurity: restricted}": true,
		"\nnamespaces: {podSecurity: off}":        false,
		"\nnamespaces: {podSecurity: \"off\"}":    false,
	} {
		if _, mutating := namespaceWebhooks(t, mustInstall(t, minimalValues+values)); (mutating != nil) != want {
			t.Errorf("%q: mutating webhook %v", values, mutating)
		}
	}
}
