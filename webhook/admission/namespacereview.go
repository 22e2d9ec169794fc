package admission

import (
	"github.com/go-json-experiment/json/jsontext"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/internal/jsonobject"
)

// The labels of a namespace with the Pod Security Standard that Kubernetes enforces
// there: its level, and the version of Kubernetes whose definition of the level applies,
// that of the cluster without a label.
const (
	labelPodSecurity        = "pod-security.kubernetes.io/enforce"
	labelPodSecurityVersion = "pod-security.kubernetes.io/enforce-version"
	latestPodSecurity       = "latest"
)

// namespaceRequest is the part of the review of a namespace that its handler reads.
type namespaceRequest struct {
	UID       string
	Name      string
	Operation string
	Resource  groupVersionResource
	Object    *namespaceObject
	OldObject *namespaceObject
	User      userInfo
	DryRun    bool
}

func (r *namespaceRequest) uid() string { return r.UID }

// UnmarshalJSONFrom reads the fields of a request.
func (r *namespaceRequest) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d,
		jsonobject.Field{Name: "uid", Into: &r.UID},
		jsonobject.Field{Name: "name", Into: &r.Name},
		jsonobject.Field{Name: "operation", Into: &r.Operation},
		jsonobject.Field{Name: "resource", Into: &r.Resource},
		jsonobject.Field{Name: "object", Into: &r.Object},
		jsonobject.Field{Name: "oldObject", Into: &r.OldObject},
		jsonobject.Field{Name: "userInfo", Into: &r.User},
		jsonobject.Field{Name: "dryRun", Into: &r.DryRun})
}

type namespaceObject struct{ Metadata namespaceMetadata }

// UnmarshalJSONFrom reads the metadata.
func (o *namespaceObject) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d, jsonobject.Field{Name: "metadata", Into: &o.Metadata})
}

type namespaceMetadata struct {
	Name   string
	Labels namespaceLabels
}

// UnmarshalJSONFrom reads the fields of the metadata.
func (m *namespaceMetadata) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d, jsonobject.Field{Name: "name", Into: &m.Name}, jsonobject.Field{Name: "labels", Into: &m.Labels})
}

type namespaceLabels map[string]string

// UnmarshalJSONFrom reads the labels that the handler knows.
func (l *namespaceLabels) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.ReadKnown(d, (*map[string]string)(l), func(key []byte) string {
		switch string(key) {
		case names.LabelTenant:
			return names.LabelTenant
		case labelPodSecurity:
			return labelPodSecurity
		case labelPodSecurityVersion:
			return labelPodSecurityVersion
		}
		return ""
	})
}

// tenant returns the tenant label of a namespace, which may be nil.
func (o *namespaceObject) tenant() (name string, labelled bool) {
	if o == nil {
		return "", false
	}
	name, labelled = o.Metadata.Labels[names.LabelTenant]
	return name, labelled
}

// userInfo is the user who sent the request to the API server, for the log.
type userInfo struct{ Username string }

// UnmarshalJSONFrom reads the name of a user.
func (u *userInfo) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d, jsonobject.Field{Name: "username", Into: &u.Username})
}
