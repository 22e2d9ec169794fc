package admission

import (
	"encoding/base64"
	stdjson "encoding/json"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
)

const (
	reviewKind    = "AdmissionReview"
	reviewVersion = "admission.k8s.io/v1"
)

// review is the part of a pod's AdmissionReview that the handler reads. It is
// decoded at once: decoding the whole pod into Kubernetes types, or the review
// first and the pod from it, costs a multiple of everything else.
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

	Kind            inject.Skipped `json:"kind"`
	Options         inject.Skipped `json:"options"`
	RequestKind     inject.Skipped `json:"requestKind"`
	RequestResource inject.Skipped `json:"requestResource"`
	UserInfo        inject.Skipped `json:"userInfo"`
}

// ephemeral reports whether ephemeral containers are added to a pod.
func (r *reviewRequest) ephemeral() bool {
	return r.SubResource == "ephemeralcontainers" && r.Operation == admissionv1.Update
}

// target returns the operation and the resource, as in "CREATE of pods".
func (r *reviewRequest) target() string {
	resource := metav1.GroupResource{Group: r.Resource.Group, Resource: r.Resource.Resource}
	if r.SubResource != "" {
		resource.Resource += "/" + r.SubResource
	}
	return string(r.Operation) + " of " + resource.String()
}

// decodeReview decodes the AdmissionReview of a pod. Names of fields are case
// sensitive and must not be repeated, so that all readers of the review read
// the same. Invalid UTF-8 is replaced, as the API server does.
func decodeReview(body []byte) (*reviewRequest, *badReview) {
	if len(body) == 0 {
		return nil, badRequest("the body is empty: send an %s", reviewKind)
	}
	var in review
	err := json.Unmarshal(body, &in, jsontext.AllowInvalidUTF8(true))
	switch {
	case err != nil:
		return nil, badRequest("the body is not an %s of a pod: %v", reviewKind, err)
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

// appendReview appends the AdmissionReview that answers a request. It equals the
// JSON of the typed admissionv1.AdmissionReview, which a test compares, at a
// fraction of the cost: the patch is already encoded.
func appendReview(buffer []byte, uid types.UID, d *decision) []byte {
	buffer = append(buffer, `{"kind":"`+reviewKind+`","apiVersion":"`+reviewVersion+`","response":{"uid":`...)
	buffer = appendString(buffer, string(uid))
	if d.Action == inject.Deny {
		buffer = append(buffer, `,"allowed":false,"status":`...)
		buffer = append(buffer, encode(status(&d.Decision))...)
	} else {
		buffer = append(buffer, `,"allowed":true`...)
	}
	if len(d.patch.JSON) > 0 {
		buffer = append(buffer, `,"patch":"`...)
		buffer = base64.StdEncoding.AppendEncode(buffer, d.patch.JSON)
		buffer = append(buffer, `","patchType":"JSONPatch"`...)
	}
	for i, warning := range d.Warnings {
		if i == 0 {
			buffer = append(buffer, `,"warnings":[`...)
		} else {
			buffer = append(buffer, ',')
		}
		buffer = appendString(buffer, warning)
	}
	if len(d.Warnings) > 0 {
		buffer = append(buffer, ']')
	}
	return append(buffer, "}}"...)
}

func appendString(buffer []byte, text string) []byte {
	buffer, _ = jsontext.AppendQuote(buffer, text) // the error only reports that invalid UTF-8 was replaced
	return buffer
}

// status explains a refusal: the message for people, the reason as a cause for
// programs.
func status(d *inject.Decision) *metav1.Status {
	status := &metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusForbidden,
		Reason:  metav1.StatusReasonForbidden,
		Message: d.Message,
		Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: metav1.CauseType(d.Reason)}}},
	}
	if d.Reason == names.ReasonBadRequest {
		status.Code, status.Reason = http.StatusBadRequest, metav1.StatusReasonBadRequest
	}
	return status
}

// encode encodes a Status. Refusals are rare, so it may cost more.
func encode(status *metav1.Status) []byte {
	encoded, err := stdjson.Marshal(status)
	if err != nil {
		panic(fmt.Sprintf("encoding strings and a number cannot fail: %v", err))
	}
	return encoded
}
