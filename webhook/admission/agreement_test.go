package admission

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
)

// typedReview encodes an answer by encoding/json from its Kubernetes type.
func typedReview(t *testing.T, uid string, d *decision) []byte {
	t.Helper()
	response := &admissionv1.AdmissionResponse{UID: types.UID(uid), Allowed: d.Action != inject.Deny, Warnings: d.Warnings}
	if !response.Allowed {
		response.Result = status(&d.Decision)
	}
	if len(d.patch.JSON) > 0 {
		patchType := admissionv1.PatchTypeJSONPatch
		response.Patch, response.PatchType = d.patch.JSON, &patchType
	}
	encoded, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{Kind: "AdmissionReview", APIVersion: "admission.k8s.io/v1"},
		Response: response,
	})
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// checkAgreement demands that appendReview equals the typed encoding, and that
// it appends.
func checkAgreement(t *testing.T, uid string, d *decision) {
	t.Helper()
	got := appendReview([]byte("before"), uid, d)[len("before"):]
	if diff := cmp.Diff(decodeAny(t, typedReview(t, uid, d)), decodeAny(t, got)); diff != "" {
		t.Errorf("AdmissionReview (-typed +appended):\n%s", diff)
	}
}

func decodeAny(t *testing.T, encoded []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(encoded, &value); err != nil {
		t.Fatalf("%v in %s", err, encoded)
	}
	return value
}

// TestReviewAgreesWithItsType compares answers to the pods of this package's
// and inject's test cases.
func TestReviewAgreesWithItsType(t *testing.T) {
	t.Parallel()
	pods := fuzzPods()
	for _, size := range podSizes() {
		pods = append(pods, realisticPod(t, size))
	}
	files, err := filepath.Glob("../inject/testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d cases of inject, error %v", len(files), err)
	}
	for _, file := range files {
		pods = append(pods, podOfCase(t, file))
	}
	a := newAdmissionTest(t)
	for _, pod := range pods {
		for _, namespace := range []string{"orders", "plain"} {
			body := reviewOf(t, pod, inNamespace(namespace))
			request, bad := decodeReview[reviewRequest](body)
			if bad != nil {
				continue // answered by an HTTP status
			}
			d, err := a.handler.decide(t.Context(), request, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkAgreement(t, request.UID, d)
		}
	}
}

// podOfCase returns the pod of a test case, or of its golden file.
func podOfCase(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Pod json.RawMessage `json:"pod"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if c.Pod == nil {
		return "null"
	}
	return string(c.Pod)
}

// FuzzReviewAgreesWithItsType does the same with arbitrary strings.
func FuzzReviewAgreesWithItsType(f *testing.F) {
	f.Add(testUID, "forbidden", "careful", []byte(`[{"op":"add"}]`), true)
	f.Add("", "\x00\"\\</script>\u2028\xff", "é\t\U0001f600", []byte(nil), false)
	f.Fuzz(func(t *testing.T, uid, message, warning string, patch []byte, denied bool) {
		d := &decision{patch: inject.Patch{JSON: patch}}
		d.Decision = inject.Decision{Action: inject.Inject, Reason: names.ReasonInjected, Message: message}
		if denied {
			d.Action, d.Reason, d.patch.JSON = inject.Deny, names.ReasonInvalidAnnotation, nil
		}
		if warning != "" {
			d.Warnings = []string{warning, message}
		}
		checkAgreement(t, uid, d)
	})
}
