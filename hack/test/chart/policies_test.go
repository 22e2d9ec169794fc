package chart_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"

	"egress.scw/webhook/api/names"
)

// The webhook of policies covers every way to change one, in the namespaces of the
// guard own-policy, whether that guard is on or off. Without an answer nothing is
// changed.
func TestPolicyWebhookFailsClosed(t *testing.T) {
	guarded := guards(t, mustInstall(t, minimalValues))["own-policy"].policy.Spec.MatchConstraints
	webhook := validatingWebhook(t, mustInstall(t, minimalValues+"\nguards: {ownPolicy: false}"), "policies.egress.scw")
	if diff := cmp.Diff(guarded.NamespaceSelector, webhook.NamespaceSelector); diff != "" {
		t.Errorf("namespaces (-guard +webhook)\n%s", diff)
	}
	rule := webhook.Rules[0]
	for _, want := range []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update, admissionregistrationv1.Delete} {
		if !slices.Contains(rule.Operations, want) {
			t.Errorf("the webhook is not called for %s", want)
		}
	}
	if len(webhook.Rules) != 1 || !slices.Equal(rule.Resources, []string{"networkpolicies"}) || !slices.Equal(rule.APIGroups, []string{"networking.k8s.io"}) {
		t.Errorf("rules %+v", webhook.Rules)
	}
	if *webhook.FailurePolicy != admissionregistrationv1.Fail || *webhook.ClientConfig.Service.Path != names.PolicyValidationPath {
		t.Errorf("failure policy %s, path %s", *webhook.FailurePolicy, *webhook.ClientConfig.Service.Path)
	}
}

// The webhook does not ask itself, or no policy could be written while it does not
// answer.
func TestPolicyWebhookExemptsTheWebhook(t *testing.T) {
	r := mustInstall(t, minimalValues)
	subject := only[*rbacv1.ClusterRoleBinding](t, r).Subjects[0]
	want := "request.userInfo.username != 'system:serviceaccount:" + subject.Namespace + ":" + subject.Name + "'"
	if !slices.ContainsFunc(validatingWebhook(t, r, "policies.egress.scw").MatchConditions, func(c admissionregistrationv1.MatchCondition) bool {
		return c.Expression == want
	}) {
		t.Errorf("no matchCondition is %s", want)
	}
}

func TestPolicyWebhookCompiles(t *testing.T) {
	for kubernetes, previous := range map[string]*version.Version{"v1.30.0": version.MajorMinor(1, 29), "v1.37.2": version.MajorMinor(1, 36)} {
		r, err := installOn(t, kubernetes, minimalValues)
		if err != nil {
			t.Fatal(err)
		}
		webhook := validatingWebhook(t, r, "policies.egress.scw")
		requireCompiled(t, webhook.Name, admissionregistrationv1.ValidatingAdmissionPolicySpec{MatchConditions: webhook.MatchConditions}, environment.MustBaseEnvSet(previous))
	}
}
