package admission

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"

	"egress.scw/webhook/api/names"
)

// policyReview is the review of a request about the NetworkPolicy in orders.
func policyReview(t *testing.T, changes ...func(*admissionv1.AdmissionRequest)) []byte {
	t.Helper()
	return reviewOf(t, `{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"egress-scw","namespace":"orders"}}`,
		append([]func(*admissionv1.AdmissionRequest){func(r *admissionv1.AdmissionRequest) {
			r.Resource.Group, r.Resource.Resource, r.Namespace, r.UserInfo.Username = "networking.k8s.io", "networkpolicies", "orders", "ann"
		}}, changes...)...)
}

// TestPolicyIsLocked: every request is refused, counted, and logged with its user.
func TestPolicyIsLocked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body    []byte
		reason  names.Reason
		message string
	}{
		"created": {body: policyReview(t), reason: names.ReasonPolicyLocked, message: "NetworkPolicy egress-scw of namespace orders contains"},
		"updated": {
			body: policyReview(t, func(r *admissionv1.AdmissionRequest) { r.Operation, r.OldObject = admissionv1.Update, r.Object }), reason: names.ReasonPolicyLocked,
			message: "only the egress webhook changes it while the namespace has the label egress.scw/tenant",
		},
		"deleted": {
			body: policyReview(t, func(r *admissionv1.AdmissionRequest) {
				r.Operation, r.OldObject, r.Object.Raw = admissionv1.Delete, r.Object, nil
			}), reason: names.ReasonPolicyLocked, message: "of namespace orders contains",
		},
		"other resource": {
			body:   policyReview(t, func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "ingresses" }),
			reason: names.ReasonBadRequest, message: "sends CREATE of ingresses here",
		},
		"other group": {
			body:   policyReview(t, func(r *admissionv1.AdmissionRequest) { r.Resource.Group = "crd.projectcalico.org" }),
			reason: names.ReasonBadRequest, message: "sends CREATE of networkpolicies here",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler, log, registry := newPolicyTest(t)
			recorder := post(handler, test.body)
			var review admissionv1.AdmissionReview
			if err := json.Unmarshal(recorder.Body.Bytes(), &review); err != nil || review.Response == nil {
				t.Fatalf("status %d, error %v: %s", recorder.Code, err, recorder.Body)
			}
			if answer := review.Response; answer.Allowed || answer.UID != testUID || !strings.Contains(answer.Result.Message, test.message) {
				t.Errorf("the answer is %+v, %+v, want %q in it", answer, answer.Result, test.message)
			}
			checkCounted(t, registry, names.MetricPolicyAdmissions, outcome{decisionDeny, test.reason})
			if logged := strings.Contains(log.String(), `"user":"ann","namespace":"orders"`); logged != (test.reason == names.ReasonPolicyLocked) {
				t.Errorf("log: %s", log)
			}
		})
	}
}

// TestPolicyReviewIsNone: a body that is no review is an error.
func TestPolicyReviewIsNone(t *testing.T) {
	t.Parallel()
	handler, _, _ := newPolicyTest(t)
	checkFailure(t, post(handler, []byte(`{}`)), http.StatusBadRequest, "the body is of kind")
}

// TestPolicyOutcomes: every reason of an admission of a NetworkPolicy has an outcome.
func TestPolicyOutcomes(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, policyOutcomes(), names.PolicyAdmissionReasons())
}

func newPolicyTest(t *testing.T) (http.Handler, *bytes.Buffer, *prometheus.Registry) {
	t.Helper()
	log, registry := &bytes.Buffer{}, prometheus.NewRegistry()
	handler, err := NewPolicyHandler(NewBudget(0), slog.New(slog.NewJSONHandler(log, nil)), registry)
	if err != nil {
		t.Fatal(err)
	}
	return handler, log, registry
}
