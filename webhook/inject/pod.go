package inject

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/internal/jsonobject"
)

// Pod is the part of a pod that injection reads. It is decoded from the JSON that
// the API server sent, with DecodeOptions. Names of fields
// are matched in their exact case, and must not be repeated: of two fields that
// are read as one, a patch might change the other.
type Pod struct {
	// Metadata is nil if the pod has none, because adding to it differs then.
	Metadata *Metadata
	Spec     Spec

	// from and to are the positions of the pod in the text that it was decoded from.
	from, to int64
	// details are nil until they are read.
	details *details
}

// UnmarshalJSONFrom reads the fields of a pod.
func (p *Pod) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	p.from = d.InputOffset()
	err := jsonobject.Read(d, jsonobject.Field{Name: "metadata", Into: &p.Metadata}, jsonobject.Field{Name: "spec", Into: &p.Spec})
	p.to = d.InputOffset()
	return err
}

// Metadata is the part of a pod's metadata that injection reads.
type Metadata struct {
	Name         string
	GenerateName string
	// Labels and Annotations have the known keys only: a pod may have many
	// others. Annotations are nil if there is no such object, because adding to it
	// differs then.
	Labels      labels
	Annotations annotations
	// OwnerReferences are decoded only in namespaces that need them.
	OwnerReferences rawValue
}

// UnmarshalJSONFrom reads the fields of a pod's metadata.
func (m *Metadata) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d,
		jsonobject.Field{Name: "name", Into: &m.Name},
		jsonobject.Field{Name: "generateName", Into: &m.GenerateName},
		jsonobject.Field{Name: "labels", Into: &m.Labels},
		jsonobject.Field{Name: "annotations", Into: &m.Annotations},
		jsonobject.Field{Name: "ownerReferences", Into: &m.OwnerReferences})
}

type labels map[string]string

// UnmarshalJSONFrom reads the label that injection knows.
func (l *labels) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.ReadKnown(d, (*map[string]string)(l), func(key []byte) string {
		if string(key) == names.LabelInject {
			return names.LabelInject
		}
		return ""
	})
}

type annotations map[string]string

// UnmarshalJSONFrom reads the annotations that injection knows.
func (a *annotations) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.ReadKnown(d, (*map[string]string)(a), func(key []byte) string {
		switch string(key) {
		case names.AnnotationNoProxy:
			return names.AnnotationNoProxy
		case names.AnnotationSkipContainers:
			return names.AnnotationSkipContainers
		case names.AnnotationRuntimes:
			return names.AnnotationRuntimes
		case names.AnnotationStatus:
			return names.AnnotationStatus
		case annotationMirror:
			return annotationMirror
		}
		return ""
	})
}

// Spec is the part of a pod's spec that injection reads.
type Spec struct {
	InitContainers      Containers
	Containers          Containers
	EphemeralContainers Containers
	// NodeSelector and Tolerations are not decoded: every pod has tolerations, and
	// few tenants a nodePool.
	NodeSelector, Tolerations rawValue
}

// UnmarshalJSONFrom reads the fields of a pod's spec.
func (s *Spec) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d,
		jsonobject.Field{Name: "initContainers", Into: &s.InitContainers},
		jsonobject.Field{Name: "containers", Into: &s.Containers},
		jsonobject.Field{Name: "ephemeralContainers", Into: &s.EphemeralContainers},
		jsonobject.Field{Name: "nodeSelector", Into: &s.NodeSelector},
		jsonobject.Field{Name: "tolerations", Into: &s.Tolerations})
}

// Containers is a list of containers. Of more than a pod may have, it contains
// only one more.
type Containers []Container

// UnmarshalJSONFrom reads a list of containers.
func (c *Containers) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*c = nil
	return jsonobject.Elements(d, func() error {
		if len(*c) > maxContainers {
			return d.SkipValue()
		}
		*c = append(*c, Container{})
		return (*c)[len(*c)-1].UnmarshalJSONFrom(d)
	})
}

// containers returns the number of containers of every kind.
func (s *Spec) containers() int {
	return len(s.InitContainers) + len(s.Containers) + len(s.EphemeralContainers)
}

// without returns the given names that no container has.
func (s *Spec) without(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	known := make(map[string]bool)
	for _, list := range []Containers{s.InitContainers, s.Containers, s.EphemeralContainers} {
		for _, container := range list {
			known[container.Name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return known[name] })
}

// Container is the part of a container that injection reads.
type Container struct {
	Name string
	// Env is nil if there is no such list, because adding to it differs then.
	Env Env
	// EnvFrom reports that variables come from other objects, under names that are
	// not known here.
	EnvFrom notEmpty
}

// notEmpty reads whether a list has elements.
type notEmpty bool

// UnmarshalJSONFrom skips the elements of a list.
func (n *notEmpty) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*n = false
	return jsonobject.Elements(d, func() error {
		*n = true
		return d.SkipValue()
	})
}

// UnmarshalJSONFrom reads the fields of a container.
func (c *Container) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d,
		jsonobject.Field{Name: "name", Into: &c.Name},
		jsonobject.Field{Name: "env", Into: &c.Env},
		jsonobject.Field{Name: "envFrom", Into: &c.EnvFrom})
}

// DecodeOptions are the options for decoding a Pod.
var DecodeOptions = json.JoinOptions(
	jsontext.AllowDuplicateNames(true), // jsonobject checks them in the fields that are read
	jsontext.AllowInvalidUTF8(true),    // it is replaced, as the API server does
)

// Stored returns the pod that the API server stores after a request that adds
// ephemeral containers to the old pod: it takes nothing else from the request.
// Labels and annotations of the request are the client's, and are dropped
// afterwards.
func (p *Pod) Stored(old *Pod) *Pod {
	spec := old.Spec
	spec.EphemeralContainers = p.Spec.EphemeralContainers
	return &Pod{Metadata: old.Metadata, Spec: spec}
}

// hasSidecar reports whether the sidecar is one of the pod's init containers.
func (p *Pod) hasSidecar() bool {
	return slices.ContainsFunc(p.Spec.InitContainers, func(container Container) bool { return container.Name == names.SidecarName })
}

// DisplayName returns the name of the pod for logs. A pod that is created by a
// controller has no name yet when it is admitted, only a prefix.
func (p *Pod) DisplayName() string {
	switch {
	case p.Metadata == nil:
		return ""
	case p.Metadata.Name == "" && p.Metadata.GenerateName != "":
		return shown(p.Metadata.GenerateName) + "*"
	default:
		return shown(p.Metadata.Name)
	}
}

// Annotations returns the pod's annotations, which may be nil.
func (p *Pod) Annotations() map[string]string {
	if p.Metadata == nil {
		return nil
	}
	return p.Metadata.Annotations
}

func (p *Pod) labels() map[string]string {
	if p.Metadata == nil {
		return nil
	}
	return p.Metadata.Labels
}
