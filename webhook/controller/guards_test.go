package controller

import (
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/settings"
)

func bindingFixture(guard string, actions ...admissionregistrationv1.ValidationAction) *admissionregistrationv1.ValidatingAdmissionPolicyBinding {
	return &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: guard, Labels: map[string]string{names.ChartLabel: names.ChartName}},
		Spec:       admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: guard, ValidationActions: actions},
	}
}

// TestGuarded: the condition names the guards without a binding that denies. It
// does not decide about Ready.
func TestGuarded(t *testing.T) {
	t.Parallel()
	objects := []client.Object{tenantFixture("client-a", 3129)}
	for _, guard := range names.Guards() {
		objects = append(objects, bindingFixture(guard, admissionregistrationv1.Deny))
	}
	server := newAPI(t, objects...)
	check := func(want, message string) {
		t.Helper()
		_, status := reconcileTenant(t, server, settings.EgressAddresses{})
		guarded := conditionOf(t, status, names.ConditionGuarded)
		if summary(guarded) != want || !strings.Contains(guarded.Message, message) {
			t.Errorf("Guarded is %s: %s; want %s with %q", summary(guarded), guarded.Message, want, message)
		}
		if got := summary(conditionOf(t, status, names.ConditionReady)); got != "True Ready" {
			t.Errorf("Ready is %s", got)
		}
	}
	check("True GuardsPresent", "")
	for _, guard := range []string{"own-policy.egress.scw", "volumes.egress.scw"} {
		if err := server.Delete(t.Context(), bindingFixture(guard)); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Create(t.Context(), bindingFixture("own-policy.egress.scw", admissionregistrationv1.Warn)); err != nil {
		t.Fatal(err)
	}
	check("False GuardsMissing", "own-policy.egress.scw, volumes.egress.scw")
	checkRequests(t, (&TenantReconciler{Client: server}).allTenants(t.Context(), nil), "client-a")
}
