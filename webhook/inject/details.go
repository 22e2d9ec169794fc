package inject

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/internal/jsonobject"
)

// details are the parts of a pod's spec that only the sidecar and closed DNS change.
// They are decoded for the pods of tenants with one of them alone.
type details struct {
	hostNetwork    bool
	dnsPolicy      string
	dns            *dnsConfig // nil if the pod has none
	security       *securityContext
	resources      *podResources
	volumes        namedElement
	initContainers containerDetails
	containers     containerDetails
}

// dnsConfig is the pod's own spec.dnsConfig.
type dnsConfig struct {
	Nameservers []string    `json:"nameservers"`
	Searches    []string    `json:"searches"`
	Options     []dnsOption `json:"options"`
}

type dnsOption struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

// securityContext is the part of spec.securityContext that injection reads.
type securityContext struct {
	Sysctls []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"sysctls"`
}

// podResources are the resources of the pod as a whole.
type podResources struct {
	Requests amounts `json:"requests"`
	Limits   amounts `json:"limits"`
}

// ReadDetails decodes the parts of a pod that only the patches of injections with
// NeedsDetails need, from the text that the pod was decoded from. The error is a
// sentence for the author of the pod.
func (p *Pod) ReadDetails(text []byte) error {
	var pod detailedPod
	// The text before the pod is that of the field with the pod.
	text = bytes.TrimLeft(text[p.from:p.to], ": \t\r\n")
	if err := json.Unmarshal(text, &pod, DecodeOptions); err != nil {
		return fmt.Errorf("the pod cannot be read: %w", err)
	}
	spec := &pod.Spec
	if err := errors.Join(
		decodeField("spec.dnsConfig", &spec.rawDNS, &spec.dns),
		decodeField("spec.securityContext", &spec.rawSecurity, &spec.security),
		decodeField("spec.resources", &spec.rawResources, &spec.resources),
	); err != nil {
		return err
	}
	p.details = &spec.details
	return nil
}

func decodeField[T any](name string, raw *rawValue, into **T) error {
	switch {
	case raw.tooLong:
		return fmt.Errorf("%s is longer than %d bytes: shorten it", name, maxRawValue)
	case raw.json == nil:
		return nil
	}
	if err := json.Unmarshal(raw.json, into, jsontext.AllowInvalidUTF8(true)); err != nil {
		return unreadable(name, err)
	}
	return nil
}

// unreadable names the part of a field that cannot be decoded. The library's own words
// for it differ from process to process.
func unreadable(field string, err error) error {
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return fmt.Errorf("%s cannot be read: %w", field, err)
	}
	field += strings.ReplaceAll(string(semantic.JSONPointer), "/", ".")
	if semantic.Err != nil {
		return fmt.Errorf("%s cannot be read: %w", field, semantic.Err)
	}
	return fmt.Errorf("%s cannot be read: Kubernetes has another type for it", field)
}

type detailedPod struct{ Spec detailedSpec }

// UnmarshalJSONFrom reads the spec of a pod.
func (p *detailedPod) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d, jsonobject.Field{Name: "spec", Into: &p.Spec})
}

type detailedSpec struct {
	details
	rawDNS, rawSecurity, rawResources rawValue
}

// UnmarshalJSONFrom reads the fields of a pod's spec.
func (s *detailedSpec) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d,
		jsonobject.Field{Name: "hostNetwork", Into: &s.hostNetwork},
		jsonobject.Field{Name: "dnsPolicy", Into: &s.dnsPolicy},
		jsonobject.Field{Name: "dnsConfig", Into: &s.rawDNS},
		jsonobject.Field{Name: "securityContext", Into: &s.rawSecurity},
		jsonobject.Field{Name: "resources", Into: &s.rawResources},
		jsonobject.Field{Name: "volumes", Into: &s.volumes},
		jsonobject.Field{Name: "initContainers", Into: &s.initContainers},
		jsonobject.Field{Name: "containers", Into: &s.containers})
}

// namedElement is the first element of a list that has the name of the sidecar.
type namedElement struct {
	// isList is false for a missing list and for null.
	isList bool
	// index is the position of the element, -1 if the list has none.
	index int
	// json is empty without an element, and for one that is longer than maxRawValue.
	json jsontext.Value
}

// UnmarshalJSONFrom reads a list.
func (n *namedElement) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return n.read(d, func(jsontext.Value) error { return nil })
}

// read reads a list, and calls the function for each element.
func (n *namedElement) read(d *jsontext.Decoder, each func(jsontext.Value) error) error {
	*n = namedElement{isList: d.PeekKind() == '[', index: -1}
	position := -1
	return jsonobject.Elements(d, func() error {
		position++
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		if n.index < 0 && isNamed(value) {
			n.index = position
			if len(value) <= maxRawValue {
				n.json = value.Clone()
			}
		}
		return each(value)
	})
}

func (n *namedElement) exists() bool { return n.isList && n.index >= 0 }

// isNamed reports whether an object has the name of the sidecar.
func isNamed(value jsontext.Value) bool {
	// Nearly no element contains the name anywhere, or an escape.
	if !bytes.Contains(value, []byte(names.SidecarName)) && bytes.IndexByte(value, '\\') < 0 {
		return false
	}
	var named nameOnly
	return json.Unmarshal(value, &named, DecodeOptions) == nil && string(named) == names.SidecarName
}

// nameOnly is the name of an object.
type nameOnly string

// UnmarshalJSONFrom reads the name.
func (n *nameOnly) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	return jsonobject.Read(d, jsonobject.Field{Name: "name", Into: (*string)(n)})
}
