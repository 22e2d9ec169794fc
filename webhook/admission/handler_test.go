package admission

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// indented writes the review with white space, which API servers do not do.
func indented(t *testing.T, review []byte) []byte {
	t.Helper()
	var buffer bytes.Buffer
	if err := json.Indent(&buffer, review, " ", "\t"); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func TestPodHandler(t *testing.T) {
	t.Parallel()
	ensuredOrders := []ensured{{"orders", "client-a", false}}
	for name, test := range map[string]struct {
		body     []byte
		reason   names.Reason
		code     int32    // of a refusal, 0 for none
		message  string   // in the message of a refusal
		paths    []string // of the patch
		warnings int
		ensured  []ensured
	}{
		"injected": {
			body: reviewOf(t, simplePod), reason: names.ReasonInjected,
			paths: []string{"/spec/containers/0/env", "/metadata/annotations"}, ensured: ensuredOrders,
		},
		"namespace without a tenant": {
			body: reviewOf(t, simplePod, inNamespace("plain")), reason: names.ReasonNotATenant,
		},
		"injected with the sidecar": {
			body:   indented(t, reviewOf(t, `{"metadata":{},"spec":{"initContainers":[{"name":"init"}],"containers":[{"name":"web"}],"volumes":[]}}`, inNamespace("sidecars"))),
			reason: names.ReasonInjected,
			paths: []string{
				"/spec/initContainers/0/env", "/spec/containers/0/env", "/spec/initContainers/0", "/spec/volumes/-", "/spec/securityContext",
				"/spec/dnsPolicy", "/spec/dnsConfig", "/metadata/annotations",
			},
			ensured: []ensured{{"sidecars", "client-s", false}},
		},
		"conflict with the sidecar": {
			body:   reviewOf(t, `{"spec":{"hostNetwork":true,"containers":[{"name":"egress-sidecar"}]}}`, inNamespace("sidecars")),
			reason: names.ReasonSidecarConflict, code: http.StatusForbidden, message: "rename it; spec.hostNetwork is true", ensured: []ensured{{"sidecars", "client-s", false}},
		},
		"settings that the sidecar cannot change": {
			body:   reviewOf(t, `{"spec":{"dnsConfig":[],"containers":[{"name":"web"}]}}`, inNamespace("sidecars")),
			reason: names.ReasonSidecarConflict, code: http.StatusForbidden, message: "spec.dnsConfig cannot be read", ensured: []ensured{{"sidecars", "client-s", false}},
		},
		"ephemeral container beside the sidecar": {
			body: reviewOf(t, `{"spec":{"containers":[{"name":"web"}],"ephemeralContainers":[{"name":"new"}]}}`,
				func(r *admissionv1.AdmissionRequest) {
					r.Operation, r.SubResource = admissionv1.Update, "ephemeralcontainers"
					r.OldObject.Raw = []byte(`{"spec":{"initContainers":[{"name":"egress-sidecar"}],"containers":[{"name":"web"}]}}`)
				}, inNamespace("sidecars")),
			reason: names.ReasonInjected, paths: []string{"/spec/ephemeralContainers/0/env"}, ensured: []ensured{{"sidecars", "client-s", false}},
		},
		"opted out, the policy is ensured": {
			body:   reviewOf(t, `{"metadata":{"labels":{"egress.scw/inject":"false"}},"spec":{"containers":[{"name":"web"}]}}`),
			reason: names.ReasonOptedOut, ensured: ensuredOrders,
		},
		"namespace opted out, the policy is ensured": {
			body: reviewOf(t, simplePod, inNamespace("quiet")), reason: names.ReasonNamespaceOptedOut, ensured: []ensured{{"quiet", "client-a", false}},
		},
		"warnings of every source": {
			body: reviewOf(t, `{"metadata":{"labels":{"egress.scw/inject":"no"},"annotations":{"egress.scw/skip-containers":"gone"}},
				"spec":{"containers":[{"name":"web","env":[{"name":"NO_PROXY","valueFrom":{}}]}]}}`),
			reason:   names.ReasonInjected,
			paths:    []string{"/spec/containers/0/env/0", "/spec/containers/0/env/1", "/spec/containers/0/env/2", "/spec/containers/0/env/3", "/metadata/annotations/egress.scw~1status"},
			warnings: 3, ensured: ensuredOrders,
		},
		"dry run": {
			body:   reviewOf(t, simplePod, func(r *admissionv1.AdmissionRequest) { *r.DryRun = true }),
			reason: names.ReasonInjected, paths: []string{"/spec/containers/0/env", "/metadata/annotations"},
			ensured: []ensured{{"orders", "client-a", true}},
		},
		"invalid annotation": {
			body:   reviewOf(t, `{"metadata":{"annotations":{"egress.scw/no-proxy":"a.example,b\nc"}},"spec":{"containers":[{"name":"web"}]}}`),
			reason: names.ReasonInvalidAnnotation, code: http.StatusForbidden,
			message: `metadata.annotations[egress.scw/no-proxy][1]: Invalid value: "b\nc"`, ensured: ensuredOrders,
		},
		"ephemeral container": {
			body: reviewOf(t, `{"spec":{"containers":[{"name":"web"}],"ephemeralContainers":[{"name":"old"},{"name":"new"}]}}`,
				func(r *admissionv1.AdmissionRequest) {
					r.Operation, r.SubResource = admissionv1.Update, "ephemeralcontainers"
					r.OldObject.Raw = []byte(`{"spec":{"containers":[{"name":"web"}],"ephemeralContainers":[{"name":"old"}]}}`)
				}),
			reason: names.ReasonInjected, paths: []string{"/spec/ephemeralContainers/1/env"}, ensured: ensuredOrders,
		},
		"ephemeral container without an old pod": {
			body: reviewOf(t, simplePod, func(r *admissionv1.AdmissionRequest) {
				r.Operation, r.SubResource = admissionv1.Update, "ephemeralcontainers"
			}),
			reason: names.ReasonBadRequest, code: http.StatusBadRequest, message: "request.oldObject is missing",
		},
		"ephemeral container with forged metadata": {
			body: reviewOf(t, `{"metadata":{"labels":{"egress.scw/inject":"false"},"annotations":{"egress.scw/skip-containers":"new"}},
				"spec":{"containers":[{"name":"web"}],"ephemeralContainers":[{"name":"new"}]}}`,
				func(r *admissionv1.AdmissionRequest) {
					r.Operation, r.SubResource = admissionv1.Update, "ephemeralcontainers"
					r.OldObject.Raw = []byte(simplePod)
				}),
			reason: names.ReasonInjected, paths: []string{"/spec/ephemeralContainers/0/env"}, ensured: ensuredOrders,
		},
		"pod applied again": {
			body:   reviewOf(t, ownNoProxy("own.example"), updating(ownNoProxy("own.example,svc,.svc"))),
			reason: names.ReasonPodUpdated, paths: []string{"/spec/containers/0/env/0/value"},
		},
		"pod updated": {
			body:   reviewOf(t, ownNoProxy("changed.example"), updating(ownNoProxy("own.example,svc,.svc"))),
			reason: names.ReasonPodUpdated,
		},
		"pod updated, without a tenant": {
			body:   reviewOf(t, ownNoProxy("own.example"), updating(ownNoProxy("own.example,svc,.svc")), inNamespace("plain")),
			reason: names.ReasonPodUpdated,
		},
		"pod updated, with an invalid annotation": {
			body:   reviewOf(t, simplePod, updating(`{"metadata":{"annotations":{"egress.scw/no-proxy":"a b"}},"spec":{}}`)),
			reason: names.ReasonPodUpdated,
		},
		"pod updated without an old pod": {
			body:   reviewOf(t, simplePod, func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }),
			reason: names.ReasonBadRequest, code: http.StatusBadRequest, message: "request.oldObject is missing",
		},
		"operation that is not handled": {
			body:   reviewOf(t, simplePod, func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Delete }),
			reason: names.ReasonBadRequest, code: http.StatusBadRequest, message: "sends DELETE of pods here",
		},
		"resource that is not handled": {
			body:   reviewOf(t, simplePod, func(r *admissionv1.AdmissionRequest) { r.Resource.Group, r.Resource.Resource = "apps", "deployments" }),
			reason: names.ReasonBadRequest, code: http.StatusBadRequest, message: "sends CREATE of deployments.apps here",
		},
		"no pod": {
			body:   reviewOf(t, "null"),
			reason: names.ReasonBadRequest, code: http.StatusBadRequest, message: "request.object is missing",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdmissionTest(t)
			response := a.answer(t, test.body)
			if response.Allowed != (test.code == 0) {
				t.Errorf("allowed is %t: %+v", response.Allowed, response.Result)
			}
			if test.code != 0 && (response.Result.Code != test.code || !strings.Contains(response.Result.Message, test.message)) {
				t.Errorf("refused with %d %q, want %d with %q", response.Result.Code, response.Result.Message, test.code, test.message)
			}
			if diff := cmp.Diff(test.paths, patchPaths(t, response)); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
			if len(response.Warnings) != test.warnings {
				t.Errorf("warnings %q, want %d", response.Warnings, test.warnings)
			}
			if diff := cmp.Diff(test.ensured, a.policies.calls, cmp.AllowUnexported(ensured{})); diff != "" {
				t.Errorf("policies ensured (-want +got):\n%s", diff)
			}
			a.checkCounted(t, responseOutcome(response, test.reason))
		})
	}
}

// TestLongNames: the API server checks names and labels after the webhook. One of a
// megabyte is neither in the log nor, once for each warning, in the answer.
func TestLongNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	const fromElsewhere = `"envFrom":[{}],"env":[{"name":"HTTP_PROXY","valueFrom":{}},{"name":"https_proxy","valueFrom":{}},
		{"name":"NO_PROXY","valueFrom":{}},{"name":"JAVA_TOOL_OPTIONS","valueFrom":{}}]`
	for name, pod := range map[string]string{
		"container": `{"metadata":{"annotations":{"egress.scw/runtimes":"Java"}},"spec":{"containers":[{"name":"` + long + `",` + fromElsewhere + `}]}}`,
		"label":     `{"metadata":{"labels":{"egress.scw/inject":"` + long + `"}},"spec":{"containers":[{"name":"web"}]}}`,
		"skipped":   `{"metadata":{"annotations":{"egress.scw/skip-containers":"` + long + `"}},"spec":{"containers":[{"name":"web"}]}}`,
		"pod":       `{"metadata":{"name":"` + long + `","labels":{"egress.scw/inject":"false"}},"spec":{"containers":[{"name":"web"}]}}`,
		"prefix":    `{"metadata":{"generateName":"` + long + `","labels":{"egress.scw/inject":"false"}},"spec":{"containers":[{"name":"web"}]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdmissionTest(t)
			response := a.answer(t, reviewOf(t, pod))
			if warnings := strings.Join(response.Warnings, ""); len(warnings) > 4<<10 {
				t.Errorf("%d warnings of %d bytes together", len(response.Warnings), len(warnings))
			}
			if a.log.Len() > 4<<10 {
				t.Errorf("%d bytes were logged", a.log.Len())
			}
		})
	}
}

func ownNoProxy(value string) string {
	return `{"spec":{"containers":[{"name":"web","env":[{"name":"NO_PROXY","value":"` + value + `"}]}]}}`
}

func updating(old string) func(*admissionv1.AdmissionRequest) {
	return func(r *admissionv1.AdmissionRequest) {
		r.Operation, r.OldObject.Raw = admissionv1.Update, []byte(old)
	}
}

func patchPaths(t *testing.T, response *admissionv1.AdmissionResponse) []string {
	t.Helper()
	if response.Patch == nil {
		return nil
	}
	var operations []struct{ Path string }
	if err := json.Unmarshal(response.Patch, &operations); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, operation := range operations {
		paths = append(paths, operation.Path)
	}
	return paths
}

// responseOutcome returns the outcome that the metrics must show for a response.
func responseOutcome(response *admissionv1.AdmissionResponse, reason names.Reason) outcome {
	switch {
	case !response.Allowed:
		return outcome{decisionDeny, reason}
	case reason == names.ReasonPodUpdated:
		return outcome{decisionSkip, reason}
	case response.Patch != nil:
		return outcome{decisionInject, reason}
	default:
		return outcome{decisionSkip, reason}
	}
}

// checkCounted demands one request, counted with this outcome, and measured. All
// other outcomes must be counted as 0.
func (a *admissionTest) checkCounted(t *testing.T, want outcome) {
	t.Helper()
	families, err := a.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted, measured := make(map[outcome]float64), uint64(0)
	for _, family := range families {
		for _, metric := range family.Metric {
			switch family.GetName() {
			case names.MetricPodAdmissions:
				counted[outcome{metric.Label[0].GetValue(), names.Reason(metric.Label[1].GetValue())}] = metric.Counter.GetValue()
			case names.MetricPodAdmissionDuration:
				measured += metric.Histogram.GetSampleCount()
			}
		}
	}
	wanted := map[outcome]float64{}
	for _, o := range outcomes() {
		wanted[o] = 0
	}
	wanted[want] = 1
	if diff := cmp.Diff(wanted, counted, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Errorf("requests counted (-want +got):\n%s", diff)
	}
	if measured != 1 {
		t.Errorf("%d requests measured, want 1", measured)
	}
}

// TestOutcomes: every reason of an admission has an outcome.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	var reasons []names.Reason
	for _, o := range outcomes() {
		if !slices.Contains(reasons, o.reason) {
			reasons = append(reasons, o.reason)
		}
	}
	if diff := cmp.Diff(names.AdmissionReasons(), reasons); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

func TestUnknownTenant(t *testing.T) {
	t.Parallel()
	for name, label := range map[string]string{"misspelt": "client-x", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdmissionTest(t)
			a.live.namespaces["orders"].Labels[names.LabelTenant] = label // the cache has the same map
			a.cache.tenants["client-b"] = tenantFixture("client-b", 3130)
			response := a.answer(t, reviewOf(t, simplePod))
			if response.Allowed {
				t.Fatal("allowed")
			}
			for _, want := range []string{"namespace orders ", "egress.scw/tenant=" + label + ","} {
				if !strings.Contains(response.Result.Message, want) {
					t.Errorf("%q is not in: %s", want, response.Result.Message)
				}
			}
			for _, other := range []string{"client-a", "client-b"} {
				if strings.Contains(response.Result.Message, other) {
					t.Errorf("the name of another tenant is in: %s", response.Result.Message)
				}
			}
			if got := response.Result.Details.Causes[0].Type; string(got) != string(names.ReasonUnknownTenant) {
				t.Errorf("cause is %s", got)
			}
			if len(a.policies.calls) > 0 {
				t.Errorf("policies ensured: %v", a.policies.calls)
			}
			a.checkCounted(t, outcome{decisionDeny, names.ReasonUnknownTenant})
		})
	}
}

// TestProtectedNamespace: the webhook configuration does not select protected
// namespaces. If another one does, their pods are admitted without injection, or
// refused if the namespace has a tenant label. They never get a policy.
func TestProtectedNamespace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		namespace *corev1.Namespace
		reason    names.Reason
	}{
		"labelled":                {namespaceFixture("kube-system", "client-a"), names.ReasonProtectedNamespace},
		"labelled with no tenant": {namespaceFixture("kube-system", "client-x"), names.ReasonProtectedNamespace},
		"not labelled":            {namespaceFixture("kube-system", ""), names.ReasonNotATenant},
	} {
		for _, cached := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, cached %t", name, cached), func(t *testing.T) {
				t.Parallel()
				a := newAdmissionTest(t)
				a.live.namespaces["kube-system"] = test.namespace
				if cached {
					a.cache.namespaces["kube-system"] = test.namespace
				}
				response := a.answer(t, reviewOf(t, simplePod, inNamespace("kube-system")))
				refused := test.reason == names.ReasonProtectedNamespace
				if response.Allowed == refused || len(response.Patch) > 0 || len(a.policies.calls) > 0 {
					t.Errorf("allowed %t, patch %s, policies ensured %v", response.Allowed, response.Patch, a.policies.calls)
				}
				if refused && (response.Result.Code != http.StatusForbidden || !strings.Contains(response.Result.Message, "kubectl label namespace kube-system egress.scw/tenant-")) {
					t.Errorf("refused with %+v", response.Result)
				}
				a.checkCounted(t, responseOutcome(response, test.reason))
			})
		}
	}
}

// TestInvalidTenant: the policy is ensured, but pods are refused instead of
// injected with invalid values.
func TestInvalidTenant(t *testing.T) {
	t.Parallel()
	a := newAdmissionTest(t)
	a.cache.tenants["client-a"].Spec.NoProxy = []string{"intranet.example.com", "http://x.example"}
	response := a.answer(t, reviewOf(t, simplePod))
	if response.Allowed || response.Result.Code != http.StatusForbidden || !strings.Contains(response.Result.Message, "EgressTenant client-a is not valid: spec.noProxy[1]") {
		t.Errorf("allowed %t, %+v", response.Allowed, response.Result)
	}
	if len(a.policies.calls) != 1 {
		t.Errorf("policies ensured: %v", a.policies.calls)
	}
	a.checkCounted(t, outcome{decisionDeny, names.ReasonInvalidTenant})
}

// brokenWriter is a connection that the client has closed.
type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestUnsentAnswerIsLogged(t *testing.T) {
	t.Parallel()
	a := newAdmissionTest(t)
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, names.PodHandlerPath, bytes.NewReader(reviewOf(t, simplePod)))
	request.Header.Set("Content-Type", "application/json")
	a.handler.ServeHTTP(brokenWriter{httptest.NewRecorder()}, request)
	if !strings.Contains(a.log.String(), "broken pipe") {
		t.Errorf("log: %s", a.log)
	}
}

// TestCacheLags: objects that the cache does not have yet are read from the API
// server, and no others.
func TestCacheLags(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		lag       func(cache *store)
		liveReads int64
	}{
		"not at all":                         {func(*store) {}, 0},
		"no namespace yet":                   {func(cache *store) { delete(cache.namespaces, "orders") }, 1},
		"namespace without label yet":        {func(cache *store) { cache.namespaces["orders"] = namespaceFixture("orders", "") }, 1},
		"namespace with the label as it was": {func(cache *store) { cache.namespaces["orders"] = namespaceFixture("orders", "client-x") }, 1},
		"no tenant yet":                      {func(cache *store) { delete(cache.tenants, "client-a") }, 2},
		"nothing yet":                        {func(cache *store) { clear(cache.namespaces); clear(cache.tenants) }, 2},
		"not started":                        {func(cache *store) { cache.fail = errors.New("the cache is not started") }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdmissionTest(t)
			a.cache.policies["orders"] = policyFixture(a.live.tenants["client-a"])
			test.lag(a.cache)
			if response := a.answer(t, reviewOf(t, simplePod)); len(response.Patch) == 0 {
				t.Errorf("not injected: %+v", response)
			}
			if got := a.live.reads.Load(); got != test.liveReads {
				t.Errorf("%d live reads, want %d", got, test.liveReads)
			}
		})
	}
}

// TestStaleCacheRestoresNoPolicy: if the caches of namespaces and tenants lag
// behind that of policies, the policy differs from the one that they require,
// and is nevertheless right. It is left alone, and the pod gets the variables of
// the live tenant.
func TestStaleCacheRestoresNoPolicy(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(live *store) (now *v1alpha1.EgressTenant){
		"namespace relabelled": func(live *store) *v1alpha1.EgressTenant {
			live.namespaces["orders"] = namespaceFixture("orders", "client-z")
			live.tenants["client-z"] = tenantFixture("client-z", 3140)
			return live.tenants["client-z"]
		},
		"port changed": func(live *store) *v1alpha1.EgressTenant {
			live.tenants["client-a"] = tenantFixture("client-a", 3140)
			live.tenants["client-a"].Generation = 2
			return live.tenants["client-a"]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdmissionTest(t)
			a.cache.policies["orders"] = policyFixture(change(a.live))
			response := a.answer(t, reviewOf(t, simplePod))
			if !bytes.Contains(response.Patch, []byte(":3140")) {
				t.Errorf("the pod does not get the live port: %s", response.Patch)
			}
			if len(a.policies.calls) > 0 {
				t.Errorf("policies were written: %v", a.policies.calls)
			}
		})
	}
}

// TestStaleCacheWritesNoPolicy: there is no policy, and the cached namespace or
// tenant has changed in the API server.
func TestStaleCacheWritesNoPolicy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change  func(live *store)
		allowed bool
		cause   names.Reason // of a refusal
	}{
		"label removed":  {change: func(live *store) { live.namespaces["orders"] = namespaceFixture("orders", "") }, allowed: true},
		"tenant deleted": {change: func(live *store) { delete(live.tenants, "client-a") }, cause: names.ReasonUnknownTenant},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdmissionTest(t)
			test.change(a.live)
			response := a.answer(t, reviewOf(t, simplePod))
			if response.Allowed != test.allowed || len(response.Patch) > 0 {
				t.Errorf("allowed %t, patch %s; want %t and none", response.Allowed, response.Patch, test.allowed)
			}
			if !test.allowed && string(response.Result.Details.Causes[0].Type) != string(test.cause) {
				t.Errorf("refused for %+v, want %s", response.Result.Details.Causes, test.cause)
			}
			if len(a.policies.calls) > 0 {
				t.Errorf("policies were written: %v", a.policies.calls)
			}
		})
	}
}

// TestUnavailable: a request without a decision is left to the failurePolicy, and
// its answer contains the cause.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	down := errors.New("the API server is down")
	for name, test := range map[string]struct {
		damage  func(a *admissionTest)
		message string
	}{
		"namespace": {func(a *admissionTest) {
			clear(a.cache.namespaces)
			a.live.fail = down
		}, `reading namespace "orders": the API server is down`},
		"namespace gone": {func(a *admissionTest) {
			clear(a.cache.namespaces)
			clear(a.live.namespaces)
		}, `reading namespace "orders": namespaces "orders" not found`},
		"tenant": {func(a *admissionTest) {
			clear(a.cache.tenants)
			a.live.failTenant = down
		}, `reading EgressTenant "client-a": the API server is down`},
		"facts before a policy is written": {func(a *admissionTest) { a.live.fail = down }, `reading namespace "orders": the API server is down`},
		"cache of policies":                {func(a *admissionTest) { a.cache.failPolicy = down }, "the API server is down"},
		"neighbours":                       {func(a *admissionTest) { a.neighbours.fail = down }, "the API server is down"},
		"policy":                           {func(a *admissionTest) { a.policies.fail = down }, "namespace orders has no NetworkPolicy yet, without which no pod of EgressTenant client-a is admitted: the API server is down"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdmissionTest(t)
			test.damage(a)
			recorder := post(a.handler, reviewOf(t, simplePod))
			checkFailure(t, recorder, http.StatusServiceUnavailable, test.message)
			a.checkCounted(t, outcome{decisionError, names.ReasonUnavailable})
			checkLogged(t, a.log, names.ReasonUnavailable)
		})
	}
}

// checkFailure demands an HTTP status, and a Status object of the same code.
func checkFailure(t *testing.T, recorder *httptest.ResponseRecorder, code int, message string) {
	t.Helper()
	var status metav1.Status
	if err := json.Unmarshal(recorder.Body.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	if recorder.Code != code || int(status.Code) != code || status.Status != metav1.StatusFailure || status.Kind != "Status" {
		t.Errorf("HTTP status %d, %+v, want a failure with %d", recorder.Code, status, code)
	}
	if !strings.Contains(status.Message, message) {
		t.Errorf("message %q, want %q in it", status.Message, message)
	}
}

func TestBadReviews(t *testing.T) {
	t.Parallel()
	valid := string(reviewOf(t, simplePod))
	for name, test := range map[string]struct {
		method, contentType, body string
		code                      int
		message                   string
	}{
		"method":                  {"GET", "application/json", "", 405, "method is GET"},
		"no content type":         {"POST", "", valid, 415, `Content-Type is ""`},
		"content type":            {"POST", "application/yaml", valid, 415, `Content-Type is "application/yaml"`},
		"empty":                   {"POST", "application/json", "", 400, "the body is empty"},
		"no JSON":                 {"POST", "application/json", "kind: AdmissionReview", 400, "the body is not an AdmissionReview: jsontext: invalid character"},
		"cut off":                 {"POST", "application/json", valid[:len(valid)-1], 400, "unexpected EOF"},
		"null":                    {"POST", "application/json", "null", 400, `kind ""`},
		"list":                    {"POST", "application/json", "[]", 400, "unmarshal JSON array"},
		"other kind":              {"POST", "application/json", strings.Replace(valid, `"AdmissionReview"`, `"ConversionReview"`, 1), 400, `kind "ConversionReview"`},
		"other version":           {"POST", "application/json", strings.Replace(valid, "admission.k8s.io/v1", "admission.k8s.io/v1beta1", 1), 400, "send an AdmissionReview of apiVersion admission.k8s.io/v1"},
		"no request":              {"POST", "application/json", `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}`, 400, "has no request"},
		"no UID":                  {"POST", "application/json", strings.Replace(valid, testUID, "", 1), 400, "has no request.uid"},
		"two UIDs":                {"POST", "application/json", strings.Replace(valid, `{"uid":`, `{"uid":"x","uid":`, 1), 400, `duplicate object member name "uid" within "/request"`},
		"two lists of containers": {"POST", "application/json", string(reviewOf(t, `{"spec":{"containers":[],"containers":[]}}`)), 400, `duplicate object member name "containers" within "/request/object/spec"`},
		"two annotations":         {"POST", "application/json", string(reviewOf(t, `{"metadata":{"annotations":{"egress.scw/status":"","\u0065gress.scw/status":""}}}`)), 400, `duplicate object member name "egress.scw/status" within "/request/object/metadata/annotations"`},
		"two names in escapes":    {"POST", "application/json", string(reviewOf(t, `{"spec":{"containers":[{"name":"a","\u006eame":"b"}]}}`)), 400, `duplicate object member name "name" within "/request/object/spec/containers/0"`},
		"unread field cut off":    {"POST", "application/json", strings.Replace(valid, `"options":{`, `"options":{"a":[}`, 1), 400, "invalid character '}'"},
		"list as metadata":        {"POST", "application/json", string(reviewOf(t, `{"metadata":[]}`)), 400, "unmarshal JSON array"},
		"pod of another shape":    {"POST", "application/json", string(reviewOf(t, `{"spec":{"containers":[{"name":"a","env":[{"value":7}]}]}}`)), 400, `JSON number into Go string within "/request/object/spec/containers/0/env/0/value"`},
		"larger than 7 MiB":       {"POST", "application/json", string(reviewOf(t, `{"spec":"`+strings.Repeat("x", maxReviewBytes)+`"}`)), 413, "larger than 7340032 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdmissionTest(t)
			request := httptest.NewRequestWithContext(t.Context(), test.method, names.PodHandlerPath, strings.NewReader(test.body))
			request.Header.Set("Content-Type", test.contentType)
			recorder := httptest.NewRecorder()
			a.handler.ServeHTTP(recorder, request)
			checkFailure(t, recorder, test.code, test.message)
			a.checkCounted(t, outcome{decisionError, names.ReasonBadRequest})
			checkLogged(t, a.log, names.ReasonBadRequest)
		})
	}
}

// TestLargestReview: a review as large as the bound is accepted, and so are
// parameters of the content type.
func TestLargestReview(t *testing.T) {
	t.Parallel()
	a := newAdmissionTest(t)
	pod := func(fill int) string {
		return `{"spec":{"containers":[{"name":"web","image":"` + strings.Repeat("x", fill) + `"}]}}`
	}
	body := reviewOf(t, pod(maxReviewBytes-len(reviewOf(t, pod(0)))))
	if len(body) != maxReviewBytes {
		t.Fatalf("the test's review has %d bytes", len(body))
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, names.PodHandlerPath, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json; charset=utf-8")
	recorder := httptest.NewRecorder()
	a.handler.ServeHTTP(recorder, request)
	if recorder.Code != http.StatusOK {
		t.Errorf("status %d: %s", recorder.Code, recorder.Body)
	}
}

// TestPanic: a panic ends one request only, and that request gets an answer.
func TestPanic(t *testing.T) {
	t.Parallel()
	a := newAdmissionTest(t)
	a.handler.policies = nil
	recorder := post(a.handler, reviewOf(t, simplePod))
	checkFailure(t, recorder, http.StatusInternalServerError, "the webhook failed on this request")
	if !strings.Contains(a.log.String(), "nil pointer") || !strings.Contains(a.log.String(), "decide") {
		t.Errorf("cause or stack is missing in the log: %s", a.log)
	}
	a.checkCounted(t, outcome{decisionError, names.ReasonInternalError})
	checkLogged(t, a.log, names.ReasonInternalError)
}

// abortingWriter aborts the request as handlers of net/http do.
type abortingWriter struct{ http.ResponseWriter }

func (abortingWriter) WriteHeader(int) { panic(http.ErrAbortHandler) }

func TestAbortPasses(t *testing.T) {
	t.Parallel()
	a := newAdmissionTest(t)
	defer func() {
		if cause := recover(); cause != any(http.ErrAbortHandler) {
			t.Errorf("recovered %v", cause)
		}
	}()
	a.handler.ServeHTTP(abortingWriter{httptest.NewRecorder()}, httptest.NewRequestWithContext(t.Context(), http.MethodGet, names.PodHandlerPath, nil))
}

// TestLog: every decision is one line with all attributes. Injected pods are
// logged at debug, all others at info.
func TestLog(t *testing.T) {
	t.Parallel()
	a := newAdmissionTest(t)
	a.answer(t, reviewOf(t, simplePod))
	a.answer(t, reviewOf(t, `{"metadata":{"name":"web-1","annotations":{"egress.scw/no-proxy":"*"}},"spec":{}}`))
	a.answer(t, reviewOf(t, `{"metadata":{"name":"web-2","labels":{"egress.scw/inject":"false"}},"spec":{}}`))
	lines := strings.Split(strings.TrimSpace(a.log.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines:\n%s", len(lines), a.log)
	}
	for i, want := range []map[string]any{
		{"level": "DEBUG", "msg": "pod injected", "namespace": "orders", "pod": "web-*", "tenant": "client-a", "reason": "Injected", "uid": testUID, "operations": 2.0, "dryRun": false},
		{"level": "INFO", "msg": "pod refused", "namespace": "orders", "pod": "web-1", "tenant": "client-a", "reason": "InvalidAnnotation", "uid": testUID, "operations": 0.0, "dryRun": false},
		{"level": "INFO", "msg": "pod admitted without injection", "namespace": "orders", "pod": "web-2", "tenant": "client-a", "reason": "OptedOut", "uid": testUID, "operations": 0.0, "dryRun": false},
	} {
		var got map[string]any
		if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
			t.Fatal(err)
		}
		if message, _ := got["message"].(string); message == "" {
			t.Errorf("no message in %s", lines[i])
		}
		delete(got, "time")
		delete(got, "message")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("line %d (-want +got):\n%s", i, diff)
		}
	}
}

// TestCacheIsUnchanged: the handler reads the cache's own objects.
func TestCacheIsUnchanged(t *testing.T) {
	t.Parallel()
	a := newAdmissionTest(t)
	tenant := a.cache.tenants["client-a"]
	tenant.Spec.NoProxy = append(make([]string, 0, 8), "intranet.example.com")
	tenantBefore, namespaceBefore := tenant.DeepCopy(), a.cache.namespaces["orders"].DeepCopy()
	// The first live read follows a cached one.
	a.cache.namespaces["plain"].Annotations = map[string]string{"cached": "yes"}
	a.live.namespaces["plain"].Annotations = map[string]string{"live": "yes"}
	for _, namespace := range []string{"orders", "plain"} {
		a.answer(t, reviewOf(t, `{"metadata":{"annotations":{"egress.scw/no-proxy":"own.example"}},"spec":{"containers":[{"name":"web"}]}}`, inNamespace(namespace)))
	}
	if diff := cmp.Diff(tenantBefore, tenant); diff != "" {
		t.Errorf("tenant (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(namespaceBefore, a.cache.namespaces["orders"]); diff != "" {
		t.Errorf("namespace (-before +after):\n%s", diff)
	}
}

func TestMetricsRegisterOnce(t *testing.T) {
	t.Parallel()
	a := newAdmissionTest(t)
	if _, err := NewHandler(a.options); err == nil {
		t.Error("two handlers on one registry")
	}
}

// TestDependenciesAreRequired: a handler without one of its dependencies would panic
// at the first request that needs it.
func TestDependenciesAreRequired(t *testing.T) {
	t.Parallel()
	complete := newAdmissionTest(t).options
	for i := range reflect.TypeFor[Options]().NumField() {
		options := complete
		options.Metrics = prometheus.NewRegistry()
		reflect.ValueOf(&options).Elem().Field(i).SetZero()
		name := reflect.TypeFor[Options]().Field(i).Name
		if _, err := NewHandler(options); err == nil || err.Error() != "options that are required are not set: "+name {
			t.Errorf("without %s: error %v", name, err)
		}
	}
	if _, err := NewNamespaceHandler(NamespaceOptions{}); err == nil ||
		err.Error() != "options that are required are not set: Budget, Cache, Live, Logger, Metrics, Policies" {
		t.Errorf("without all dependencies: error %v", err)
	}
}

// TestUserSeesTheCause sends requests as the API server does, through client-go.
// Users get its error if the failurePolicy is Fail.
func TestUserSeesTheCause(t *testing.T) {
	t.Parallel()
	a := newAdmissionTest(t)
	a.policies.fail = errors.New("networkpolicies is forbidden")
	server := httptest.NewServer(a.handler)
	t.Cleanup(server.Close)

	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{admissionv1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	config := &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{
		GroupVersion:         &admissionv1.SchemeGroupVersion,
		NegotiatedSerializer: serializer.NewCodecFactory(scheme).WithoutConversion(),
		ContentType:          runtime.ContentTypeJSON,
	}}
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(pod string) (*admissionv1.AdmissionReview, error) {
		review := &admissionv1.AdmissionReview{}
		err := client.Post().AbsPath(names.PodHandlerPath).SetHeader("Content-Type", "application/json").
			Body(reviewOf(t, pod)).Do(t.Context()).Into(review)
		return review, err
	}
	if _, err := ask(simplePod); err == nil || !strings.Contains(err.Error(), "networkpolicies is forbidden") {
		t.Errorf("error %v, want one with the cause", err)
	}
	if _, err := ask(`"` + strings.Repeat("x", maxReviewBytes) + `"`); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("error %v, want one with the bound", err)
	}
	a.policies.fail = nil
	if review, err := ask(simplePod); err != nil || !review.Response.Allowed {
		t.Errorf("answer %+v, error %v", review, err)
	}
}
