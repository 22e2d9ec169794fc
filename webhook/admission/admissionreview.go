package admission

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"egress.scw/webhook/inject"
)

const (
	// maxReviewBytes bounds an AdmissionReview as controller-runtime does
	// (pkg/webhook/admission/http.go): the API server takes objects of at most
	// 3 MiB, a review holds two of them, and the rest is far below 1 MiB.
	maxReviewBytes = 7 << 20

	// firstReadBytes is what is set aside for a review before any of it has
	// arrived, if it says to be that long. Nearly every pod fits.
	firstReadBytes = 64 << 10

	mediaTypeJSON = "application/json"
	reviewKind    = "AdmissionReview"
	reviewVersion = "admission.k8s.io/v1"
)

// review is the part of an AdmissionReview of a pod that its handler reads,
// decoded in one go: reading the whole pod into Kubernetes types, or the review
// first and the pod from it, costs a multiple of all the rest.
type review struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Request    *reviewRequest `json:"request"`
}

type reviewRequest struct {
	UID         types.UID                   `json:"uid"`
	Resource    metav1.GroupVersionResource `json:"resource"`
	SubResource string                      `json:"subResource"`
	Namespace   string                      `json:"namespace"`
	Operation   admissionv1.Operation       `json:"operation"`
	Object      *inject.Pod                 `json:"object"`
	OldObject   *inject.Pod                 `json:"oldObject"`
	DryRun      bool                        `json:"dryRun"`
}

// ephemeral says whether ephemeral containers join a pod.
func (r *reviewRequest) ephemeral() bool {
	return r.SubResource == "ephemeralcontainers" && r.Operation == admissionv1.Update
}

// target is what the request does to what, as in "CREATE of pods".
func (r *reviewRequest) target() string {
	resource := metav1.GroupResource{Group: r.Resource.Group, Resource: r.Resource.Resource}
	if r.SubResource != "" {
		resource.Resource += "/" + r.SubResource
	}
	return string(r.Operation) + " of " + resource.String()
}

// badReview is a request that cannot be answered by an AdmissionReview, as it
// holds none: it is answered by its HTTP status.
type badReview struct {
	code    int32
	reason  metav1.StatusReason
	message string
}

// readReview reads the AdmissionReview of an HTTP request. Field names count in
// their exact case and may occur once only, so that everyone who reads the
// review reads the same.
func readReview(w http.ResponseWriter, r *http.Request) (*reviewRequest, *badReview) {
	if r.Method != http.MethodPost {
		return nil, &badReview{
			http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed,
			fmt.Sprintf("method is %s: send an %s by POST", r.Method, reviewKind),
		}
	}
	contentType := r.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(contentType); err != nil || media != mediaTypeJSON {
		return nil, &badReview{
			http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType,
			fmt.Sprintf("Content-Type is %q: send an %s as %s", contentType, reviewKind, mediaTypeJSON),
		}
	}
	body, err := readBody(w, r)
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &badReview{
			http.StatusRequestEntityTooLarge, metav1.StatusReasonRequestEntityTooLarge,
			fmt.Sprintf("the %s is larger than %d bytes", reviewKind, maxReviewBytes),
		}
	}
	if err != nil {
		return nil, badRequest("reading the %s: %v", reviewKind, err)
	}
	return decodeReview(body)
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	var body bytes.Buffer
	// ReadFrom wants room for the end of the stream as well.
	body.Grow(int(min(max(r.ContentLength, 0), firstReadBytes)) + bytes.MinRead)
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxReviewBytes))
	return body.Bytes(), err
}

func decodeReview(body []byte) (*reviewRequest, *badReview) {
	if len(body) == 0 {
		return nil, badRequest("the body is empty: send an %s", reviewKind)
	}
	var in review
	err := json.Unmarshal(body, &in, jsontext.AllowInvalidUTF8(true))
	switch {
	case err != nil:
		return nil, badRequest("the body is no %s of a pod: %v", reviewKind, err)
	case in.Kind != reviewKind || in.APIVersion != reviewVersion:
		return nil, badRequest("the body is of kind %q, apiVersion %q: send an %s of apiVersion %s",
			in.Kind, in.APIVersion, reviewKind, reviewVersion)
	case in.Request == nil:
		return nil, badRequest("the %s has no request", reviewKind)
	case in.Request.UID == "":
		return nil, badRequest("the %s has no request.uid", reviewKind)
	}
	return in.Request, nil
}

func badRequest(format string, arguments ...any) *badReview {
	return &badReview{http.StatusBadRequest, metav1.StatusReasonBadRequest, fmt.Sprintf(format, arguments...)}
}

// writeReview answers an AdmissionReview.
func writeReview(w http.ResponseWriter, response *admissionv1.AdmissionResponse) error {
	return writeJSON(w, http.StatusOK, admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{Kind: reviewKind, APIVersion: reviewVersion},
		Response: response,
	})
}

// writeFailure answers what has no other answer, in the way of the Kubernetes
// API. The API server then does what the webhook's failurePolicy says, and
// passes the message on to the user.
func writeFailure(w http.ResponseWriter, code int32, reason metav1.StatusReason, message string) error {
	return writeJSON(w, int(code), metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure,
		Code:     code,
		Reason:   reason,
		Message:  message,
	})
}

// writeJSON encodes first, so that nothing is sent that cannot be finished.
func writeJSON(w http.ResponseWriter, code int, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	w.Header().Set("Content-Type", mediaTypeJSON)
	w.WriteHeader(code)
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("sending the answer: %w", err)
	}
	return nil
}
