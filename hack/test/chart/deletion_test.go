package chart_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"egress.scw/webhook/api/names"
)

// Kubernetes deletes the pods of a namespace first from version 1.33 on. Before, the
// webhook is asked about deletions of tenants' namespaces, and may look for pods.
func TestDeletionOfNamespacesHasAnOrder(t *testing.T) {
	for version, unordered := range map[string]bool{"v1.30.4": true, "v1.32.9-scw1": true, "v1.33.0": false, "v1.33.0-rc.1": false, "v1.37.2": false} {
		t.Run(version, func(t *testing.T) {
			r, err := installOn(t, version, minimalValues)
			if err != nil {
				t.Fatal(err)
			}
			webhook := deletionWebhook(t, r)
			if (webhook != nil) != unordered || mayListPods(t, r) != unordered {
				t.Fatalf("webhook %v, right to list pods: %t", webhook, mayListPods(t, r))
			}
			if !unordered {
				return
			}
			if diff := cmp.Diff([]admissionregistrationv1.OperationType{admissionregistrationv1.Delete}, webhook.Rules[0].Operations); diff != "" {
				t.Error(diff)
			}
			if *webhook.FailurePolicy != admissionregistrationv1.Fail || *webhook.ClientConfig.Service.Path != names.NamespaceDeletionPath {
				t.Errorf("failurePolicy %s, path %s", *webhook.FailurePolicy, *webhook.ClientConfig.Service.Path)
			}
			requireTenantsOnly(t, webhook)
		})
	}
}

// requireTenantsOnly requires that other namespaces can be deleted without the
// webhook.
func requireTenantsOnly(t *testing.T, webhook *admissionregistrationv1.ValidatingWebhook) {
	t.Helper()
	object, err := metav1.LabelSelectorAsSelector(webhook.ObjectSelector)
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := metav1.LabelSelectorAsSelector(webhook.NamespaceSelector)
	if err != nil {
		t.Fatal(err)
	}
	for name, tenant := range map[string]bool{"orders": true, "plain": false, "cert-manager": false, releaseNamespace: false} {
		own := labels.Set{corev1.LabelMetadataName: name, names.LabelTenant: ""}
		if name == "plain" {
			delete(own, names.LabelTenant)
		}
		if got := object.Matches(own) && namespace.Matches(own); got != tenant {
			t.Errorf("namespace %s: selected %t, want %t", name, got, tenant)
		}
	}
}

func deletionWebhook(t *testing.T, r rendered) *admissionregistrationv1.ValidatingWebhook {
	t.Helper()
	webhooks := only[*admissionregistrationv1.ValidatingWebhookConfiguration](t, r).Webhooks
	at := slices.IndexFunc(webhooks, func(w admissionregistrationv1.ValidatingWebhook) bool {
		return w.Name == "namespace-deletions.egress.scw"
	})
	if at < 0 {
		return nil
	}
	return &webhooks[at]
}

func mayListPods(t *testing.T, r rendered) bool {
	t.Helper()
	for _, object := range r.objects {
		role, isRole := object.(*rbacv1.ClusterRole)
		if isRole && slices.ContainsFunc(role.Rules, func(rule rbacv1.PolicyRule) bool {
			return slices.Contains(rule.Resources, "pods") && slices.Contains(rule.Verbs, "list")
		}) {
			return true
		}
	}
	return false
}
