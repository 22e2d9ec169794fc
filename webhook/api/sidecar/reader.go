package sidecar

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"egress.scw/webhook/api/policy"
)

// reader reads JSON strictly and collects the errors. encoding/json reports the
// first error alone, takes names of fields in any case, and the last of repeated ones.
type reader struct{ errs []error }

// fail adds an error about the field at a path; the path of the whole is empty.
func (r *reader) fail(path, problem string) {
	if path == "" {
		r.errs = append(r.errs, errors.New(problem))
		return
	}
	r.errs = append(r.errs, errors.New(path+" "+problem))
}

// member is a field of an object.
type member struct {
	name     string
	required bool
	read     func(path string, raw json.RawMessage)
}

// object reads an object. The text is valid JSON.
func (r *reader) object(path string, raw json.RawMessage, members []member) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		r.fail(path, "must be an object")
		return
	}
	prefix := path
	if path != "" {
		prefix += "."
	}
	var seen []string
	for decoder.More() {
		token, err := decoder.Token()
		var value json.RawMessage
		if err == nil {
			err = decoder.Decode(&value)
		}
		if err != nil {
			r.fail(path, "is not JSON: "+err.Error())
			return
		}
		name := fmt.Sprint(token)
		i := slices.IndexFunc(members, func(m member) bool { return m.name == name })
		switch {
		case i < 0:
			r.fail(prefix+strconv.Quote(name), "is not a field")
		case slices.Contains(seen, name):
			r.fail(prefix+name, "is there twice")
		default:
			members[i].read(prefix+name, value)
		}
		seen = append(seen, name)
	}
	for _, m := range members {
		if m.required && !slices.Contains(seen, m.name) {
			r.fail(prefix+m.name, "is missing")
		}
	}
}

// array reads an array of 1 to most items.
func (r *reader) array(path string, raw json.RawMessage, most int, read func(path string, raw json.RawMessage)) {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil || items == nil {
		r.fail(path, "must be a list")
		return
	}
	if len(items) == 0 || len(items) > most {
		r.fail(path, fmt.Sprintf("has %d items; between 1 and %d are valid", len(items), most))
		return
	}
	for i, item := range items {
		read(path+"["+strconv.Itoa(i)+"]", item)
	}
}

// port reads a port that the proxy does not forbid. It returns 0 if there is an
// error.
func (r *reader) port(path string, raw json.RawMessage) uint16 {
	var number *int
	if err := json.Unmarshal(raw, &number); err != nil || number == nil || *number < 1 || *number > math.MaxUint16 {
		r.fail(path, fmt.Sprintf("must be a port between 1 and %d", math.MaxUint16))
		return 0
	}
	port := uint16(*number)
	if slices.Contains(policy.ForbiddenPorts(), port) {
		r.fail(path, fmt.Sprintf("must not be %d, which the proxy forbids to every tenant", port))
	}
	return port
}

// readText reads a string with a check that returns its value. It returns the zero
// value if there is an error.
func readText[T any](r *reader, path string, raw json.RawMessage, check func(string) (T, error)) T {
	var text *string
	if err := json.Unmarshal(raw, &text); err != nil || text == nil {
		r.fail(path, "must be a string")
		return *new(T)
	}
	value, err := check(*text)
	if err != nil {
		r.fail(path, err.Error())
	}
	return value
}
