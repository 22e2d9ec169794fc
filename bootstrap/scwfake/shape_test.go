package scwfake_test

import (
	"maps"
	"slices"
)

// A shape is JSON without its values. An object has a shape for each key, an array has
// one shape for all elements, and a scalar is "string", "number", "bool" or "null". If
// the elements of an array differ, a scalar may be "null|string", and an object has the
// keys of all elements.

// dynamicKeys are objects whose keys are data. Their shape has only the key "*", with
// the shape of all values.
func dynamicKeys() []string {
	return []string{"labels", "kubelet_args", "available_kubelet_args", "conditions", "volumes"}
}

// shapeOf returns the shape of a value that encoding/json decoded.
func shapeOf(value any) any {
	switch value := value.(type) {
	case map[string]any:
		object := map[string]any{}
		for key, inner := range value {
			shape := shapeOf(inner)
			fields, isObject := inner.(map[string]any)
			// "servers" is an array of servers, or types of servers by name.
			if isObject && (slices.Contains(dynamicKeys(), key) || key == "servers") {
				shape = map[string]any{}
				if len(fields) > 0 {
					shape = map[string]any{"*": mergedShape(slices.Collect(maps.Values(fields)))}
				}
			}
			object[key] = shape
		}
		return object
	case []any:
		if len(value) == 0 {
			return []any{}
		}
		return []any{mergedShape(value)}
	case string:
		return "string"
	case float64:
		return "number"
	case bool:
		return "bool"
	default:
		return "null"
	}
}

func mergedShape(values []any) any {
	shape := shapeOf(values[0])
	for _, value := range values[1:] {
		shape = mergeShapes(shape, shapeOf(value))
	}
	return shape
}

func mergeShapes(x, y any) any {
	switch x := x.(type) {
	case map[string]any:
		if y, ok := y.(map[string]any); ok {
			merged := maps.Clone(x)
			for key, shape := range y {
				if known, ok := merged[key]; ok {
					shape = mergeShapes(known, shape)
				}
				merged[key] = shape
			}
			return merged
		}
	case []any:
		if y, ok := y.([]any); ok {
			switch {
			case len(x) == 0:
				return y
			case len(y) == 0:
				return x
			default:
				return []any{mergeShapes(x[0], y[0])}
			}
		}
	case string:
		if y, ok := y.(string); ok {
			switch {
			case x == y:
				return x
			case x == "null":
				return "null|" + y
			case y == "null":
				return "null|" + x
			}
		}
	}
	return "mixed"
}
