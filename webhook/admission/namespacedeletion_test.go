package admission

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/settings"
)

// deletionReview is the review of the namespace orders that is deleted.
func deletionReview(t *testing.T, labels string, changes ...func(*admissionv1.AdmissionRequest)) []byte {
	t.Helper()
	return namespaceReview(t, labels, `{}`, append([]func(*admissionv1.AdmissionRequest){func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.Object.Raw = admissionv1.Delete, nil
	}}, changes...)...)
}

// TestNamespaceDeletion: the policy of a tenant's namespace is kept, except on a dry
// run. No deletion is refused.
func TestNamespaceDeletion(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body    []byte
		reason  names.Reason
		kept    bool
		message string // of a refusal
	}{
		"tenant's":     {body: deletionReview(t, `{"egress.scw/tenant":"client-a"}`), reason: names.ReasonPolicyKept, kept: true},
		"unknown's":    {body: deletionReview(t, `{"egress.scw/tenant":"client-x"}`), reason: names.ReasonPolicyKept, kept: true},
		"empty label":  {body: deletionReview(t, `{"egress.scw/tenant":""}`), reason: names.ReasonPolicyKept, kept: true},
		"not labelled": {body: deletionReview(t, `{}`), reason: names.ReasonTenantUnchanged},
		"dry run": {
			body:   deletionReview(t, `{"egress.scw/tenant":"client-a"}`, func(r *admissionv1.AdmissionRequest) { r.DryRun = new(true) }),
			reason: names.ReasonPolicyKept,
		},
		"created": {
			body: namespaceReview(t, "", `{"egress.scw/tenant":"client-a"}`), reason: names.ReasonBadRequest,
			message: "sends CREATE of namespaces here",
		},
		"no old object": {
			body:   deletionReview(t, `{}`, func(r *admissionv1.AdmissionRequest) { r.OldObject.Raw = nil }),
			reason: names.ReasonBadRequest, message: "request.oldObject is missing",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNamespaceTest(t, settings.Namespaces{})
			response := n.answer(t, n.handler.Delete(), test.body)
			want := outcome{decisionSkip, test.reason}
			if test.message != "" {
				want.decision = decisionDeny
			}
			if response.Allowed != (test.message == "") || test.message != "" && !strings.Contains(response.Result.Message, test.message) {
				t.Errorf("allowed %t: %+v", response.Allowed, response.Result)
			}
			if kept := slices.Equal(n.policies.kept, []string{"orders"}); kept != test.kept {
				t.Errorf("policies kept in %q", n.policies.kept)
			}
			n.checkCounted(t, want)
			checkLogged(t, n.log, test.reason)
		})
	}
}

// TestNamespaceIsNotDeletedWithoutItsPolicyKept: the failurePolicy decides.
func TestNamespaceIsNotDeletedWithoutItsPolicyKept(t *testing.T) {
	t.Parallel()
	n := newNamespaceTest(t, settings.Namespaces{})
	n.policies.fail = errors.New("the API server is down")
	recorder := post(n.handler.Delete(), deletionReview(t, `{"egress.scw/tenant":"client-a"}`))
	checkFailure(t, recorder, http.StatusServiceUnavailable, "namespace orders is not deleted, because its pods could outlive its NetworkPolicy: the API server is down")
	n.checkCounted(t, outcome{decisionError, names.ReasonUnavailable})
}
