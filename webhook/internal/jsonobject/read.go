// Package jsonobject reads the known fields of JSON objects strictly, and skips
// all others.
//
// The decoder of go-json-experiment/json checks every object for duplicate
// names, also within fields that are not read, which takes half of its time.
// This package checks the fields that it reads. Its decoder is therefore to be
// used with jsontext.AllowDuplicateNames.
package jsonobject

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Field is a known field of an object. At most 64 fields may be known.
type Field struct {
	Name string
	// Into points to the value that the field is decoded into.
	Into any
}

// Read reads the next value, an object or null. Names are compared in their
// exact case. A known name that is repeated is an error.
func Read(d *jsontext.Decoder, fields ...Field) error {
	var seen uint64
	return members(d, func(name []byte) error {
		for i := range fields {
			if string(name) != fields[i].Name {
				continue
			}
			if seen&(1<<i) != 0 {
				return duplicate(d)
			}
			seen |= 1 << i
			return readValue(d, fields[i].Into)
		}
		_, err := d.ReadValue()
		return err
	})
}

// readValue reads strings itself, because they are the most frequent, and nested
// values through their UnmarshalJSONFrom.
func readValue(d *jsontext.Decoder, into any) error {
	switch into := into.(type) {
	case *string:
		if d.PeekKind() == '"' {
			token, err := d.ReadToken()
			*into = token.String()
			return err
		}
	case json.UnmarshalerFrom:
		return into.UnmarshalJSONFrom(d)
	}
	return json.UnmarshalDecode(d, into)
}

// ReadKnown reads a map of strings, an object or null, of which it keeps the known
// keys. The function known returns the key for its text, and an empty string for
// any other. The map is nil for null.
func ReadKnown(d *jsontext.Decoder, into *map[string]string, known func(key []byte) string) error {
	*into = nil
	if d.PeekKind() == '{' {
		*into = make(map[string]string)
	}
	return members(d, func(name []byte) error {
		key := known(name)
		if key == "" {
			return skipString(d)
		}
		if _, ok := (*into)[key]; ok {
			return duplicate(d)
		}
		value := ""
		err := readValue(d, &value)
		(*into)[key] = value
		return err
	})
}

// skipString skips a string or null. Other values are errors.
func skipString(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		return d.SkipValue()
	}
	return json.UnmarshalDecode(d, new(string))
}

// Elements calls read for each element of the next value, a list or null.
func Elements(d *jsontext.Decoder, read func() error) error {
	switch d.PeekKind() {
	case '[':
	case 'n':
		return d.SkipValue()
	default:
		return json.UnmarshalDecode(d, &[]struct{}{}) // reports the kind, or the syntax error
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		if err := read(); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

// members calls read after the name of each member of an object. The name is
// valid until read reads the value.
func members(d *jsontext.Decoder, read func(name []byte) error) error {
	switch d.PeekKind() {
	case '{':
	case 'n':
		return d.SkipValue()
	default:
		return json.UnmarshalDecode(d, &struct{}{}) // reports the kind, or the syntax error
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadValue()
		if err != nil {
			return err
		}
		unquoted := name[1 : len(name)-1]
		if bytes.IndexByte(unquoted, '\\') >= 0 {
			if unquoted, err = jsontext.AppendUnquote(nil, []byte(name)); err != nil {
				return err
			}
		}
		if err := read(unquoted); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

func duplicate(d *jsontext.Decoder) error {
	return &jsontext.SyntacticError{ByteOffset: d.InputOffset(), JSONPointer: d.StackPointer(), Err: jsontext.ErrDuplicateName}
}
