package settings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	goyaml "go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// decode decodes a settings file over the defaults. The list has an error for
// every unknown field and every field of the wrong type; the latter keep their
// defaults. The error is not nil if the data is not one YAML object without
// duplicate fields.
func decode(data []byte) (*File, field.ErrorList, error) {
	tree, err := decodeTree(data)
	if err != nil {
		return nil, nil, err
	}
	var errs field.ErrorList
	for {
		encoded, err := json.Marshal(tree)
		if err != nil {
			return nil, nil, fmt.Errorf("reading the settings: %w", err)
		}
		file := defaults()
		strict, err := kjson.UnmarshalStrict(encoded, file)
		if err == nil {
			file.complete()
			return file, append(errs, unknownFields(strict)...), nil
		}
		// The decoder returns only the first field of a wrong type. The loop
		// takes the field out and decodes the rest again, to find all of them.
		mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err)
		if !ok {
			return nil, nil, fmt.Errorf("reading the settings: %w", err)
		}
		at := tokensAt(encoded, mismatch.Offset)
		value, ok := remove(tree, at)
		if !ok {
			return nil, nil, fmt.Errorf("reading the settings: %w", err)
		}
		errs = append(errs, field.TypeInvalid(pathOf(at, strings.Split(mismatch.Field, ".")), value,
			fmt.Sprintf("found %s where %s belongs", valueName(mismatch.Value), typeName(mismatch.Type))))
	}
}

// decodeTree decodes one YAML object into maps and lists. The error names
// lines.
func decodeTree(data []byte) (map[string]any, error) {
	if err := checkSingleDocument(data); err != nil {
		return nil, err
	}
	encoded, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, fmt.Errorf("not valid YAML: %w", err)
	}
	var tree map[string]any
	if err := json.Unmarshal(encoded, &tree); err != nil || tree == nil {
		return nil, fmt.Errorf("not a YAML object: write one with apiVersion %s and kind %s", APIVersion, Kind)
	}
	return tree, nil
}

// checkSingleDocument returns an error if data follows the first YAML document,
// which YAMLToJSONStrict would ignore.
func checkSingleDocument(data []byte) error {
	decoder := goyaml.NewDecoder(bytes.NewReader(data))
	var document goyaml.Node
	err := decoder.Decode(&document)
	if err == nil {
		err = decoder.Decode(&document)
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return fmt.Errorf("not valid YAML: %w", err)
	}
	return errors.New("more than one YAML document: write all settings into one")
}

// tokensAt returns the names of fields, keys of maps and indexes of lists that lead to
// the value that ends, or as a list or an object begins, before the offset.
func tokensAt(encoded []byte, offset int64) []string {
	decoder := jsontext.NewDecoder(bytes.NewReader(encoded))
	for decoder.InputOffset() < offset {
		if _, err := decoder.ReadToken(); err != nil {
			return nil
		}
	}
	return slices.Collect(decoder.StackPointer().Tokens())
}

// pathOf returns the path of a value in the notation of errors. The fields are those of
// the tokens that are the names of fields.
func pathOf(tokens, fields []string) *field.Path {
	var path *field.Path
	for _, token := range tokens {
		index, err := strconv.Atoi(token)
		switch {
		case len(fields) > 0 && token == fields[0]:
			path, fields = path.Child(token), fields[1:]
		case err == nil:
			path = path.Index(index)
		default:
			path = path.Key(token)
		}
	}
	return path
}

// remove takes a value out of a tree and returns it. An item of a list becomes null, so
// that the others keep their indexes.
func remove(tree map[string]any, tokens []string) (value any, ok bool) {
	var at any = tree
	for i, token := range tokens {
		last := i == len(tokens)-1
		switch parent := at.(type) {
		case map[string]any:
			at = parent[token]
			if last {
				delete(parent, token)
			}
		case []any:
			index, err := strconv.Atoi(token)
			if err != nil || index >= len(parent) {
				return nil, false
			}
			at = parent[index]
			if last {
				parent[index] = nil
			}
		default:
			return nil, false
		}
	}
	return at, at != nil && len(tokens) > 0
}

func unknownFields(strict []error) field.ErrorList {
	var errs field.ErrorList
	for _, err := range strict {
		path := "settings"
		if at, ok := errors.AsType[kjson.FieldError](err); ok {
			path = at.FieldPath()
		}
		errs = append(errs, field.Forbidden(field.NewPath(path), "the settings file has no such field"))
	}
	return errs
}

// anyCovers reports whether one of the errors is about the field, a part of it, or
// a field that contains it.
func anyCovers(errs field.ErrorList, path string) bool {
	for _, err := range errs {
		if within(path, err.Field) || within(err.Field, path) {
			return true
		}
	}
	return false
}

func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// valueName returns the name of a JSON value, as the decoder describes it, in
// the words of YAML.
func valueName(described string) string {
	switch kind, _, _ := strings.Cut(described, " "); kind {
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		return "a boolean"
	default:
		return "a " + kind
	}
}

func typeName(of reflect.Type) string {
	switch of.Kind() {
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Bool:
		return "a boolean"
	case reflect.Int32:
		return "an integer"
	default:
		return "a " + of.Kind().String()
	}
}
