package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/settings"
)

// namespaceTest is a handler of namespaces, in a cluster with the tenants client-a
// and client-b.
type namespaceTest struct {
	live     *store
	log      *bytes.Buffer
	registry *prometheus.Registry
	policies *fakeKeeper
	handler  *NamespaceHandler
}

// fakeKeeper records its calls, and returns the error fail.
type fakeKeeper struct {
	kept []string
	fail error
}

func (k *fakeKeeper) Keep(_ context.Context, namespace string) error {
	k.kept = append(k.kept, namespace)
	return k.fail
}

func newNamespaceTest(t *testing.T, rules settings.Namespaces) *namespaceTest {
	t.Helper()
	n := &namespaceTest{
		live: newStore(tenantFixture("client-a", 3129), tenantFixture("client-b", 3130)),
		log:  &bytes.Buffer{}, registry: prometheus.NewRegistry(), policies: &fakeKeeper{},
	}
	handler, err := NewNamespaceHandler(NamespaceOptions{
		Settings: rules, Cache: newStore(tenantFixture("client-a", 3129)), Live: n.live, Policies: n.policies, Budget: NewBudget(0),
		Logger: slog.New(slog.NewJSONHandler(n.log, nil)), Metrics: n.registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.handler = handler
	return n
}

// namespaceReview is the review of the namespace orders with labels in JSON, of
// which those before are empty for a namespace that is created.
func namespaceReview(t *testing.T, before, labels string, changes ...func(*admissionv1.AdmissionRequest)) []byte {
	t.Helper()
	object := func(labels string) []byte {
		return []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"orders","labels":` + labels + `},"spec":{"finalizers":["kubernetes"]}}`)
	}
	return reviewOf(t, string(object(labels)), append([]func(*admissionv1.AdmissionRequest){func(r *admissionv1.AdmissionRequest) {
		r.Resource.Resource, r.Namespace, r.Name = "namespaces", "orders", "orders"
		r.UserInfo.Username = "ann"
		if before != "" {
			r.Operation, r.OldObject.Raw = admissionv1.Update, object(before)
		}
	}}, changes...)...)
}

func TestNamespaceValidation(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body    []byte
		reason  names.Reason
		message string // of a refusal
	}{
		"created":                {body: namespaceReview(t, "", `{"egress.scw/tenant":"client-a"}`), reason: names.ReasonTenantJoined},
		"labelled":               {body: namespaceReview(t, `null`, `{"egress.scw/tenant":"client-a"}`), reason: names.ReasonTenantJoined},
		"relabelled":             {body: namespaceReview(t, `{"egress.scw/tenant":"client-a"}`, `{"egress.scw/tenant":"client-b"}`), reason: names.ReasonTenantJoined},
		"tenant is not cached":   {body: namespaceReview(t, "", `{"egress.scw/tenant":"client-b"}`), reason: names.ReasonTenantJoined},
		"not labelled":           {body: namespaceReview(t, "", `{"team":"orders"}`), reason: names.ReasonTenantUnchanged},
		"label removed":          {body: namespaceReview(t, `{"egress.scw/tenant":"client-a"}`, `{}`), reason: names.ReasonTenantUnchanged},
		"unknown, and unchanged": {body: namespaceReview(t, `{"egress.scw/tenant":"client-x"}`, `{"egress.scw/tenant":"client-x","team":"a"}`), reason: names.ReasonTenantUnchanged},
		"unknown": {
			body: namespaceReview(t, "", `{"egress.scw/tenant":"client-x"}`), reason: names.ReasonUnknownTenant,
			message: "namespace orders: the label egress.scw/tenant=client-x names no EgressTenant",
		},
		"empty": {
			body: namespaceReview(t, `{"egress.scw/tenant":"client-a"}`, `{"egress.scw/tenant":""}`), reason: names.ReasonUnknownTenant,
			message: "egress.scw/tenant= names no EgressTenant",
		},
		"empty instead of absent": {
			body: namespaceReview(t, `{}`, `{"egress.scw/tenant":""}`), reason: names.ReasonUnknownTenant, message: "names no EgressTenant",
		},
		"other resource": {
			body: namespaceReview(t, "", `{}`, func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "pods" }), reason: names.ReasonBadRequest,
			message: "sends CREATE of pods here",
		},
		"deleted": {
			body: namespaceReview(t, "", `{}`, func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Delete }), reason: names.ReasonBadRequest,
			message: "sends DELETE of namespaces here",
		},
		"no old object": {
			body: namespaceReview(t, "", `{}`, func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }), reason: names.ReasonBadRequest,
			message: "request.oldObject is missing",
		},
		"no object": {body: reviewOf(t, "null", func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "namespaces" }), reason: names.ReasonBadRequest, message: "request.object is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNamespaceTest(t, settings.Namespaces{})
			response := n.answer(t, n.handler.Validate(), test.body)
			if response.Allowed != (test.message == "") || response.Patch != nil {
				t.Fatalf("allowed %t, patch %s: %+v", response.Allowed, response.Patch, response.Result)
			}
			want := outcome{decisionSkip, test.reason}
			if test.message != "" {
				want.decision = decisionDeny
				if !strings.Contains(response.Result.Message, test.message) {
					t.Errorf("message %q, want %q in it", response.Result.Message, test.message)
				}
				for _, other := range []string{"client-a", "client-b"} {
					if !strings.Contains(string(test.body), other) && strings.Contains(response.Result.Message, other) {
						t.Errorf("the name of another tenant is in: %s", response.Result.Message)
					}
				}
			}
			n.checkCounted(t, want)
			if logged := strings.Contains(n.log.String(), `"existing":["client-a"]`) && strings.Contains(n.log.String(), `"user":"ann"`); logged != (test.reason == names.ReasonUnknownTenant) {
				t.Errorf("log: %s", n.log)
			}
		})
	}
}

// TestNamespaceUnavailable: without an answer of the API server there is no
// decision.
func TestNamespaceUnavailable(t *testing.T) {
	t.Parallel()
	n := newNamespaceTest(t, settings.Namespaces{})
	n.live.fail = errors.New("the API server is down")
	recorder := post(n.handler.Validate(), namespaceReview(t, "", `{"egress.scw/tenant":"client-b"}`))
	checkFailure(t, recorder, http.StatusServiceUnavailable, `reading EgressTenant "client-b": `)
	n.checkCounted(t, outcome{decisionError, names.ReasonUnavailable})
	checkLogged(t, n.log, names.ReasonUnavailable)
}

func TestPodSecurity(t *testing.T) {
	t.Parallel()
	const absent = "absent"
	for name, test := range map[string]struct {
		level   settings.PodSecurity
		current string
		want    string // the label in the patch, empty for none
	}{
		"absent":             {settings.PodSecurityBaseline, absent, "baseline"},
		"absent, restricted": {settings.PodSecurityRestricted, absent, "restricted"},
		"weaker":             {settings.PodSecurityBaseline, "privileged", "baseline"},
		"weaker, restricted": {settings.PodSecurityRestricted, "baseline", "restricted"},
		"equal":              {settings.PodSecurityBaseline, "baseline", ""},
		"stricter":           {settings.PodSecurityBaseline, "restricted", ""},
		"invalid":            {settings.PodSecurityBaseline, "strict", ""},
		"off":                {settings.PodSecurityOff, absent, ""},
		"off, weak":          {settings.PodSecurityOff, "privileged", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNamespaceTest(t, settings.Namespaces{PodSecurity: test.level})
			labels := `{"egress.scw/tenant":"client-a"}`
			if test.current != absent {
				labels = `{"egress.scw/tenant":"client-a","pod-security.kubernetes.io/enforce":"` + test.current + `"}`
			}
			response := n.answer(t, n.handler.Mutate(), namespaceReview(t, `{}`, labels))
			if !response.Allowed {
				t.Fatalf("refused: %+v", response.Result)
			}
			if test.want == "" {
				if response.Patch != nil || response.Warnings != nil {
					t.Errorf("patch %s, warnings %q", response.Patch, response.Warnings)
				}
				n.checkCounted(t, outcome{decisionSkip, names.ReasonTenantJoined})
				return
			}
			want := `[{"op":"add","path":"/metadata/labels/pod-security.kubernetes.io~1enforce","value":"` + test.want + `"}]`
			if string(response.Patch) != want || len(response.Warnings) != 1 {
				t.Errorf("patch %s, want %s; warnings %q", response.Patch, want, response.Warnings)
			}
			n.checkCounted(t, outcome{decisionInject, names.ReasonTenantJoined})
		})
	}
	// Later changes of the standard are those of the platform.
	n := newNamespaceTest(t, settings.Namespaces{PodSecurity: settings.PodSecurityBaseline})
	labels := `{"egress.scw/tenant":"client-a","pod-security.kubernetes.io/enforce":"privileged"}`
	if response := n.answer(t, n.handler.Mutate(), namespaceReview(t, `{"egress.scw/tenant":"client-a"}`, labels)); response.Patch != nil {
		t.Errorf("patch %s for a namespace that keeps its tenant", response.Patch)
	}
}

// TestPodSecurityVersion: a namespace does not keep an older version of the standard,
// which may admit what newer ones refuse.
func TestPodSecurityVersion(t *testing.T) {
	t.Parallel()
	const (
		level   = `{"op":"add","path":"/metadata/labels/pod-security.kubernetes.io~1enforce","value":"baseline"}`
		version = `{"op":"add","path":"/metadata/labels/pod-security.kubernetes.io~1enforce-version","value":"latest"}`
	)
	for name, test := range map[string]struct {
		level  settings.PodSecurity
		labels string
		want   string
	}{
		"no level":       {settings.PodSecurityBaseline, `"pod-security.kubernetes.io/enforce-version":"v1.20"`, "[" + level + "," + version + "]"},
		"level":          {settings.PodSecurityBaseline, `"pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/enforce-version":"v1.20"`, "[" + version + "]"},
		"stricter level": {settings.PodSecurityBaseline, `"pod-security.kubernetes.io/enforce":"restricted","pod-security.kubernetes.io/enforce-version":"v1.20"`, "[" + version + "]"},
		"latest":         {settings.PodSecurityBaseline, `"pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/enforce-version":"latest"`, ""},
		"off":            {settings.PodSecurityOff, `"pod-security.kubernetes.io/enforce-version":"v1.20"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNamespaceTest(t, settings.Namespaces{PodSecurity: test.level})
			response := n.answer(t, n.handler.Mutate(), namespaceReview(t, `{`+test.labels+`}`, `{"egress.scw/tenant":"client-a",`+test.labels+`}`))
			if !response.Allowed || string(response.Patch) != test.want {
				t.Errorf("allowed %t, patch %s, want %s", response.Allowed, response.Patch, test.want)
			}
			if warnings := strings.Join(response.Warnings, ""); strings.Contains(warnings, "enforce-version=latest") != strings.Contains(test.want, "latest") {
				t.Errorf("warnings %q", warnings)
			}
		})
	}
}

// TestNamespaceOutcomes: every reason of an admission of a namespace has an outcome.
func TestNamespaceOutcomes(t *testing.T) {
	t.Parallel()
	checkOutcomes(t, namespaceOutcomes(), names.NamespaceAdmissionReasons())
}

// checkOutcomes demands that the outcomes have these reasons, and no other.
func checkOutcomes(t *testing.T, outcomes []outcome, reasons []names.Reason) {
	t.Helper()
	seen := make(map[names.Reason]bool)
	for _, o := range outcomes {
		seen[o.reason] = true
	}
	for _, reason := range reasons {
		if !seen[reason] {
			t.Errorf("no outcome has %s", reason)
		}
		delete(seen, reason)
	}
	if len(seen) > 0 {
		t.Errorf("not among the reasons: %v", seen)
	}
}

func (n *namespaceTest) answer(t *testing.T, handler http.Handler, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	recorder := post(handler, body)
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(recorder.Body.Bytes(), &review); err != nil || recorder.Code != http.StatusOK || review.Response == nil {
		t.Fatalf("status %d, error %v: %s", recorder.Code, err, recorder.Body)
	}
	if review.Response.UID != testUID || review.TypeMeta != (metav1.TypeMeta{Kind: "AdmissionReview", APIVersion: "admission.k8s.io/v1"}) {
		t.Errorf("the answer is %+v", review)
	}
	return review.Response
}

// checkCounted demands one request, counted with this outcome.
func (n *namespaceTest) checkCounted(t *testing.T, want outcome) {
	t.Helper()
	checkCounted(t, n.registry, names.MetricNamespaceAdmissions, want)
}

// checkCounted demands one request, counted in the metric with this outcome.
func checkCounted(t *testing.T, registry *prometheus.Registry, name string, want outcome) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := make(map[outcome]float64)
	for _, family := range families {
		for _, metric := range family.Metric {
			if value := metric.GetCounter().GetValue(); family.GetName() == name && value > 0 {
				counted[outcome{metric.Label[0].GetValue(), names.Reason(metric.Label[1].GetValue())}] = value
			}
		}
	}
	if diff := cmp.Diff(map[outcome]float64{want: 1}, counted, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("requests counted (-want +got):\n%s", diff)
	}
}
