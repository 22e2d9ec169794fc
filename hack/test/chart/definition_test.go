package chart_test

import (
	"slices"
	"testing"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// hooks returns the objects that Helm writes before an upgrade.
func hooks(t *testing.T, values string) rendered {
	t.Helper()
	version, err := common.ParseKubeVersion("v1.37.2")
	if err != nil {
		t.Fatal(err)
	}
	client := action.NewInstall(action.NewConfiguration())
	client.DryRunStrategy = action.DryRunClient
	client.KubeVersion = version
	client.ReleaseName, client.Namespace = "egress-webhook", releaseNamespace
	releaser, err := client.RunWithContext(t.Context(), load(t), parse(t, values))
	if err != nil {
		t.Fatal(err)
	}
	var r rendered
	for _, hook := range releaser.(*release.Release).Hooks {
		if !slices.Equal(hook.Events, []release.HookEvent{release.HookPreUpgrade}) {
			t.Errorf("hook %s runs at %v", hook.Name, hook.Events)
		}
		if !slices.Equal(hook.DeletePolicies, []release.HookDeletePolicy{release.HookBeforeHookCreation, release.HookSucceeded}) {
			t.Errorf("hook %s is deleted at %v: the definition itself must not be a hook", hook.Name, hook.DeletePolicies)
		}
		r.objects = append(r.objects, decode(t, hook.Manifest)...)
	}
	return r
}

// TestDefinitionJob: before an upgrade, a Job with the webhook's image applies the
// definition, with the right to do this and no other.
func TestDefinitionJob(t *testing.T) {
	r := hooks(t, minimalValues)
	pod := only[*batchv1.Job](t, r).Spec.Template
	installed := mustInstall(t, minimalValues)
	if got, want := pod.Spec.Containers[0].Image, onlyContainer(t, installed).Image; got != want {
		t.Errorf("the image is %s, want %s", got, want)
	}
	if got := pod.Spec.Containers[0].Args; !slices.Equal(got, []string{"--apply-definition"}) {
		t.Errorf("arguments are %q", got)
	}
	for _, object := range []*metav1.LabelSelector{only[*appsv1.Deployment](t, installed).Spec.Selector} {
		selector, err := metav1.LabelSelectorAsSelector(object)
		if err != nil || selector.Matches(labels.Set(pod.Labels)) {
			t.Errorf("the Deployment and the Service select the Job's pod: %v", err)
		}
	}
	account, binding, role := only[*corev1.ServiceAccount](t, r), only[*rbacv1.ClusterRoleBinding](t, r), only[*rbacv1.ClusterRole](t, r)
	if pod.Spec.ServiceAccountName != account.Name || binding.Subjects[0].Name != account.Name || binding.RoleRef.Name != role.Name {
		t.Errorf("the Job's account is %s, and %s is bound to %s", pod.Spec.ServiceAccountName, binding.Subjects[0].Name, binding.RoleRef.Name)
	}
	rule := role.Rules[0]
	if len(role.Rules) != 1 || !slices.Equal(rule.Verbs, []string{"patch"}) || !slices.Equal(rule.Resources, []string{"customresourcedefinitions"}) || !slices.Equal(rule.ResourceNames, []string{"egresstenants.egress.scw"}) {
		t.Errorf("the Job may %v", role.Rules)
	}
}
