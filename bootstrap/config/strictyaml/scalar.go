package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// setScalar sets a string, a boolean or an integer.
func setScalar(node *yaml.Node, target reflect.Value) error {
	switch {
	case target.Kind() == reflect.String:
		text, err := stringOf(node)
		if err != nil {
			return err
		}
		target.SetString(text)
	case target.Kind() == reflect.Bool:
		if node.ShortTag() != "!!bool" {
			return errors.New("must be true or false, without quotes, is " + describe(node))
		}
		target.SetBool(strings.EqualFold(node.Value, "true"))
	case target.CanInt():
		number, err := integerOf(node, target.Type().Bits())
		if err != nil {
			return err
		}
		target.SetInt(number)
	default:
		return fmt.Errorf("cannot be decoded: the Go type %s is not supported", target.Type())
	}
	return nil
}

func stringOf(node *yaml.Node) (string, error) {
	if node.Kind != yaml.ScalarNode {
		return "", errors.New("must be a string, is " + describe(node))
	}
	if node.ShortTag() != "!!str" {
		return "", fmt.Errorf("must be a string, is %s: quote it, %q", describe(node), node.Value)
	}
	return node.Value, nil
}

// integerOf accepts decimal integers only. 010, 0x1F and 1_000 are integers of
// YAML too, but readers of YAML do not agree on their values.
func integerOf(node *yaml.Node, bits int) (int64, error) {
	if node.ShortTag() != "!!int" {
		return 0, errors.New("must be an integer, without quotes, is " + describe(node))
	}
	number, err := strconv.ParseInt(node.Value, 10, bits)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errors.New("must be a smaller integer")
	case err != nil || strconv.FormatInt(number, 10) != node.Value:
		return 0, fmt.Errorf("must be a decimal integer, is %s", node.Value)
	}
	return number, nil
}

// describe names the kind of a node and, for a scalar, its value.
func describe(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "a map"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(node):
		return "empty"
	case node.ShortTag() == "!!str":
		return fmt.Sprintf("the string %q", node.Value)
	case node.ShortTag() == "!!timestamp":
		return "the date " + node.Value
	default:
		return node.Value
	}
}

// resolve follows an alias to its anchor. An alias never refers to another one.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}
