package inject

import (
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

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
}

// UnmarshalJSONFrom reads the fields of a pod.
func (p *Pod) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d, jsonobject.Field{Name: "metadata", Into: &p.Metadata}, jsonobject.Field{Name: "spec", Into: &p.Spec})
}

// Metadata is the part of a pod's metadata that injection reads.
type Metadata struct {
	Name         string
	GenerateName string
	Labels       map[string]string
	// Annotations are nil if there is no such object, because adding to it
	// differs then.
	Annotations map[string]string
}

// UnmarshalJSONFrom reads the fields of a pod's metadata.
func (m *Metadata) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d,
		jsonobject.Field{Name: "name", Into: &m.Name},
		jsonobject.Field{Name: "generateName", Into: &m.GenerateName},
		jsonobject.Field{Name: "labels", Into: &m.Labels},
		jsonobject.Field{Name: "annotations", Into: &m.Annotations})
}

// Spec is the part of a pod's spec that injection reads.
type Spec struct {
	InitContainers      []Container
	Containers          []Container
	EphemeralContainers []Container
}

// UnmarshalJSONFrom reads the fields of a pod's spec.
func (s *Spec) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d,
		jsonobject.Field{Name: "initContainers", Into: &s.InitContainers},
		jsonobject.Field{Name: "containers", Into: &s.Containers},
		jsonobject.Field{Name: "ephemeralContainers", Into: &s.EphemeralContainers})
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
	for _, list := range [][]Container{s.InitContainers, s.Containers, s.EphemeralContainers} {
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
	Env []EnvVar
}

// UnmarshalJSONFrom reads the fields of a container.
func (c *Container) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d, jsonobject.Field{Name: "name", Into: &c.Name}, jsonobject.Field{Name: "env", Into: &c.Env})
}

// EnvVar is an environment variable of a container. If several have one name,
// the last is effective. Only the names and values of proxy variables are kept:
// injection does not read others, and large pods have many of them.
type EnvVar struct {
	// Name is empty if the variable is not one of the six proxy variables.
	Name  string
	Value string
	// ValueFrom is not nil if the value comes from another object.
	ValueFrom *struct{}

	// ignored is set once the name has been read, if the variable is not one of the
	// six.
	ignored bool
}

// UnmarshalJSONFrom reads the fields of an environment variable.
func (v *EnvVar) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	err := jsonobject.Read(d,
		jsonobject.Field{Name: "name", Into: (*envName)(v)},
		jsonobject.Field{Name: "value", Into: (*envValue)(v)},
		jsonobject.Field{Name: "valueFrom", Into: &v.ValueFrom})
	if v.Name == "" { // with fields in another order, the value was read before the name
		v.Value = ""
	}
	return err
}

// envName reads the name of an environment variable. A name that is not kept is not
// allocated.
type envName EnvVar

// UnmarshalJSONFrom reads a string.
func (v *envName) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '"' {
		return json.UnmarshalDecode(d, &v.Name) // null, or an error
	}
	name, err := d.ReadValue()
	if err != nil {
		return err
	}
	var buffer [64]byte
	text, _ := jsontext.AppendUnquote(buffer[:0], []byte(name)) // the error only reports a replacement
	v.Name = proxyVariable(text)
	v.ignored = v.Name == ""
	return nil
}

// envValue reads the value of an environment variable, and skips it if the variable
// is known to be ignored.
type envValue EnvVar

// UnmarshalJSONFrom reads a string.
func (v *envValue) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if v.ignored && d.PeekKind() == '"' {
		return d.SkipValue()
	}
	return json.UnmarshalDecode(d, &v.Value)
}

// DecodeOptions are the options for decoding a Pod.
var DecodeOptions = json.JoinOptions(
	jsontext.AllowDuplicateNames(true), // jsonobject checks them in the fields that are read
	jsontext.AllowInvalidUTF8(true),    // it is replaced, as the API server does
)

// DisplayName returns the name of the pod for logs. A pod that is created by a
// controller has no name yet when it is admitted, only a prefix.
func (p *Pod) DisplayName() string {
	switch {
	case p.Metadata == nil:
		return ""
	case p.Metadata.Name == "" && p.Metadata.GenerateName != "":
		return p.Metadata.GenerateName + "*"
	default:
		return p.Metadata.Name
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
