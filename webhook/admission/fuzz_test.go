package admission

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	jsonpatchv5 "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// FuzzAdmissionBody: no body causes a panic. The answer has the UID of the
// request, and its patch applies and changes only variables of containers and
// the status annotation.
func FuzzAdmissionBody(f *testing.F) {
	handler := fuzzHandler(f)
	for _, body := range [][]byte{
		nil,
		[]byte("{}"),
		[]byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":null}`),
		reviewOf(f, realisticPod(f, typicalPod())),
		reviewOf(f, simplePod, inNamespace("plain")),
		reviewOf(f, simplePod, inNamespace("lost")),
		reviewOf(f, simplePod, inNamespace("")),
	} {
		f.Add(body)
	}
	for _, pod := range fuzzPods() {
		f.Add(reviewOf(f, pod))
	}
	f.Fuzz(func(t *testing.T, body []byte) { checkBody(t, handler, body) })
}

// FuzzAdmissionPod changes only the pod of the review, so that more inputs pass
// the checks of the review.
func FuzzAdmissionPod(f *testing.F) {
	handler := fuzzHandler(f)
	for _, pod := range fuzzPods() {
		f.Add(pod, "")
		f.Add(pod, `{"spec":{"ephemeralContainers":[{"name":"a"}]}}`)
	}
	f.Fuzz(func(t *testing.T, pod, old string) {
		if !json.Valid([]byte(pod)) || old != "" && !json.Valid([]byte(old)) {
			return
		}
		checkBody(t, handler, reviewOf(t, pod, func(r *admissionv1.AdmissionRequest) {
			if old != "" {
				r.Operation, r.SubResource, r.OldObject.Raw = admissionv1.Update, "ephemeralcontainers", []byte(old)
			}
		}))
	})
}

func fuzzHandler(f *testing.F) *Handler {
	f.Helper()
	tenant := tenantFixture("client-a", 3129)
	tenant.Spec.Runtimes = v1alpha1.Runtimes()
	known := newStore(namespaceFixture("orders", "client-a"), namespaceFixture("plain", ""), namespaceFixture("lost", "client-x"), tenant)
	handler, err := NewHandler(Options{
		Cluster: injectCluster(f), Cache: known, Live: known, Policies: &fakePolicies{}, Neighbours: neighboursFixture(), Settings: exampleSettings(), Budget: NewBudget(0),
		Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		f.Fatal(err)
	}
	known.policies["orders"] = policyFixture(tenant)
	return handler
}

func fuzzPods() []string {
	return []string{
		simplePod,
		`null`,
		`{}`,
		`{"metadata":null,"spec":null}`,
		`{"metadata":{"annotations":null},"spec":{"containers":[null,{"name":"a","env":[null]}]}}`,
		`{"metadata":{"annotations":{"egress.scw/no-proxy":"a.example,10.0.0.0/8","egress.scw/skip-containers":"b"}},"spec":{"containers":[{"name":"a"},{"name":"b"}]}}`,
		`{"Spec":{"containers":[{"name":"a"}]},"spec":{"initContainers":[{"name":"b","Env":[],"env":[]}]}}`,
		`{"spec":{"containers":[{"name":"a","env":[{"name":"NO_PROXY","value":"a"},{"name":"NO_PROXY"},{"name":"https_proxy","valueFrom":{}},{"name":"http_proxy","value":"$(HTTP_PROXY)"}]}]}}`,
		`{"metadata":{"annotations":{"egress.scw/runtimes":"Node, Java"}},"spec":{"containers":[{"name":"a","env":[{"name":"JAVA_TOOL_OPTIONS","value":"-Xmx1g  -Dhttp.proxyPort=1"},{"name":"MOJO_PROXY"}]},{"name":"b","env":[{"name":"JAVA_TOOL_OPTIONS","valueFrom":{}}]}]}}`,
		`{"metadata":{"annotations":{"egress.scw/runtimes":"cobol"}},"spec":{"containers":[{"name":"a","env":[{"name":"NO_PROXY","value":"$$(no_proxy)$("}]}]}}`,
		`{"metadata":{"annotations":{"egress.scw/status":""}},"spec":{"ephemeralContainers":[{"name":"a"},{"name":"b","env":null}]}}`,
	}
}

func checkBody(t *testing.T, handler *Handler, body []byte) {
	t.Helper()
	recorder := post(handler, body)
	switch recorder.Code {
	case http.StatusOK:
		checkAnswer(t, body, recorder.Body.Bytes())
	case http.StatusBadRequest:
	case http.StatusServiceUnavailable: // for a namespace that does not exist
		if !strings.Contains(recorder.Body.String(), "reading namespace") {
			t.Errorf("unavailable: %s", recorder.Body)
		}
	default:
		t.Errorf("status %d: %s", recorder.Code, recorder.Body)
	}
}

func checkAnswer(t *testing.T, body, answer []byte) {
	t.Helper()
	var got admissionv1.AdmissionReview
	if err := json.Unmarshal(answer, &got); err != nil {
		t.Fatal(err)
	}
	uid, object := sentParts(t, body)
	if got.Kind != "AdmissionReview" || got.APIVersion != "admission.k8s.io/v1" || got.Response == nil || string(got.Response.UID) != uid {
		t.Fatalf("answer to UID %q: %s", uid, answer)
	}
	if got.Response.Patch == nil {
		return
	}
	if !got.Response.Allowed {
		t.Error("refused with a patch")
	}
	patch, err := jsonpatchv5.DecodePatch(got.Response.Patch)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply(object)
	if err != nil {
		t.Fatalf("%v\napplying %s\nto %s", err, got.Response.Patch, object)
	}
	if diff := cmp.Diff(beyondInjection(t, object), beyondInjection(t, patched), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("changed beyond what is declared (-before +after):\n%s", diff)
	}
}

// sentParts reads fields by names in their exact case, as the API server does.
// Fields of a struct would match in any case.
func sentParts(t *testing.T, body []byte) (uid string, object json.RawMessage) {
	t.Helper()
	var review, request map[string]json.RawMessage
	for _, err := range []error{json.Unmarshal(body, &review), json.Unmarshal(review["request"], &request), json.Unmarshal(request["uid"], &uid)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return uid, request["object"]
}

// beyondInjection returns a pod without the fields that injection may add or
// change.
func beyondInjection(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var pod map[string]any
	if err := json.Unmarshal(raw, &pod); err != nil {
		t.Fatal(err)
	}
	dropStatus(pod)
	spec, _ := pod["spec"].(map[string]any)
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		containers, _ := spec[list].([]any)
		for _, container := range containers {
			if container, ok := container.(map[string]any); ok {
				container["env"] = foreignVariables(container["env"])
			}
		}
	}
	return pod
}

func dropStatus(pod map[string]any) {
	metadata, _ := pod["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	delete(annotations, names.AnnotationStatus)
	if len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	if len(metadata) == 0 {
		delete(pod, "metadata")
	}
}

// foreignVariables returns the variables that injection does not add, in their
// order.
func foreignVariables(env any) []any {
	variables, _ := env.([]any)
	return slices.DeleteFunc(variables, func(variable any) bool {
		fields, _ := variable.(map[string]any)
		name, _ := fields["name"].(string)
		return slices.Contains([]string{
			"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy",
			"JAVA_TOOL_OPTIONS", "NODE_USE_ENV_PROXY", "PERL_LWP_ENV_PROXY", "MOJO_PROXY",
		}, name)
	})
}
