package inject

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"egress.scw/webhook/internal/jsonobject"
)

// Env is the part of a container's environment that injection reads: its proxy
// variables, and those of language runtimes. If several have one name, it contains the last, which is effective.
// Injection does not read others, and large pods have many of them.
type Env []EnvVar

// UnmarshalJSONFrom reads a list of variables.
func (e *Env) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	*e = nil
	if d.PeekKind() == '[' {
		*e = Env{}
	}
	var read EnvVar // one for all, because it escapes to the heap
	index := 0
	return jsonobject.Elements(d, func() error {
		read = EnvVar{Index: index}
		index++
		if err := read.UnmarshalJSONFrom(d); err != nil || read.Name == "" {
			return err
		}
		if known := e.find(read.Name); known != nil {
			*known = read
		} else {
			*e = append(*e, read)
		}
		return nil
	})
}

// find returns the variable of a name, or nil.
func (e *Env) find(name string) *EnvVar {
	for i := range *e {
		if (*e)[i].Name == name {
			return &(*e)[i]
		}
	}
	return nil
}

// EnvVar is an environment variable of a container.
type EnvVar struct {
	// Name is empty if the variable is not one that injection reads.
	Name  string
	Value string
	// ValueFrom is not nil if the value comes from another object.
	ValueFrom *struct{}

	// Index is the position in the list of all variables.
	Index int

	// ignored is set once the name has been read, if the variable is not one that
	// injection reads.
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
	v.Name = knownVariable(text)
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
