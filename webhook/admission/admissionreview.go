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

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/internal/jsonobject"
)

const (
	reviewKind    = "AdmissionReview"
	reviewVersion = "admission.k8s.io/v1"
)

// review is the part of an AdmissionReview that a handler reads, with a request of
// type R. It is decoded at once: decoding the whole pod into Kubernetes types, or
// the review first and the pod from it, costs a multiple of everything else.
type review[R any] struct {
	apiVersion, kind string
	request          *R
}

// UnmarshalJSONFrom reads the fields of a review.
func (r *review[R]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d,
		jsonobject.Field{Name: "apiVersion", Into: &r.apiVersion},
		jsonobject.Field{Name: "kind", Into: &r.kind},
		jsonobject.Field{Name: "request", Into: &r.request})
}

type reviewRequest struct {
	UID         string
	Resource    groupVersionResource
	SubResource string
	Namespace   string
	Operation   string
	Object      *inject.Pod
	OldObject   *inject.Pod
	DryRun      bool
	// client is the address of the client, and body the text of the review. They are
	// not parts of the review.
	client string
	body   []byte
}

// UnmarshalJSONFrom reads the fields of a request.
func (r *reviewRequest) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d,
		jsonobject.Field{Name: "uid", Into: &r.UID},
		jsonobject.Field{Name: "resource", Into: &r.Resource},
		jsonobject.Field{Name: "subResource", Into: &r.SubResource},
		jsonobject.Field{Name: "namespace", Into: &r.Namespace},
		jsonobject.Field{Name: "operation", Into: &r.Operation},
		jsonobject.Field{Name: "object", Into: &r.Object},
		jsonobject.Field{Name: "oldObject", Into: &r.OldObject},
		jsonobject.Field{Name: "dryRun", Into: &r.DryRun})
}

type groupVersionResource metav1.GroupVersionResource

// UnmarshalJSONFrom reads the fields of a resource.
func (r *groupVersionResource) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d,
		jsonobject.Field{Name: "group", Into: &r.Group},
		jsonobject.Field{Name: "version", Into: &r.Version},
		jsonobject.Field{Name: "resource", Into: &r.Resource})
}

// ephemeral reports whether ephemeral containers are added to a pod.
func (r *reviewRequest) ephemeral() bool {
	return r.SubResource == "ephemeralcontainers" && r.Operation == string(admissionv1.Update)
}

// updates reports whether a pod is updated, other than by a subresource.
func (r *reviewRequest) updates() bool {
	return r.SubResource == "" && r.Operation == string(admissionv1.Update)
}

// judged returns the pod whose labels and annotations decide.
func (r *reviewRequest) judged() *inject.Pod {
	if r.ephemeral() {
		return r.Object.Stored(r.OldObject)
	}
	return r.Object
}

// target returns the operation and the resource, as in "CREATE of pods".
func (r *reviewRequest) target() string {
	resource := metav1.GroupResource{Group: r.Resource.Group, Resource: r.Resource.Resource}
	if r.SubResource != "" {
		resource.Resource += "/" + r.SubResource
	}
	return r.Operation + " of " + resource.String()
}

// identified is a pointer to a request of type R.
type identified[R any] interface {
	*R
	uid() string
}

func (r *reviewRequest) uid() string { return r.UID }

// decodeReview decodes an AdmissionReview. Names of the fields that are read are
// case sensitive and must not be repeated, so that all readers of the review read
// the same.
func decodeReview[R any, P identified[R]](body []byte) (*R, *badReview) {
	if len(body) == 0 {
		return nil, badRequest("the body is empty: send an %s", reviewKind)
	}
	var in review[R]
	err := json.Unmarshal(body, &in, inject.DecodeOptions)
	switch {
	case err != nil:
		return nil, badRequest("the body is not an %s: %v", reviewKind, err)
	case in.kind != reviewKind || in.apiVersion != reviewVersion:
		return nil, badRequest("the body is of kind %q, apiVersion %q: send an %s of apiVersion %s",
			in.kind, in.apiVersion, reviewKind, reviewVersion)
	case in.request == nil:
		return nil, badRequest("the %s has no request", reviewKind)
	case P(in.request).uid() == "":
		return nil, badRequest("the %s has no request.uid", reviewKind)
	}
	return in.request, nil
}

// appendReview appends the AdmissionReview that answers a request. It equals the
// JSON of the typed admissionv1.AdmissionReview, which a test compares, at a
// fraction of the cost: the patch is already encoded.
func appendReview(buffer []byte, uid string, d *decision) []byte {
	buffer = append(buffer, `{"kind":"`+reviewKind+`","apiVersion":"`+reviewVersion+`","response":{"uid":`...)
	buffer = appendString(buffer, uid)
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
