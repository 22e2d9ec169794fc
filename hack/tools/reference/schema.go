package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// readCRD reads the schema of the EgressTenant, which controller-gen writes from
// the Go types.
func (r *repository) readCRD() (*apiextensionsv1.JSONSchemaProps, error) {
	file := filepath.Join(r.root, "charts", "egress-webhook", "crds", "egress.scw_egresstenants.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(content, &definition); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return definition.Spec.Versions[0].Schema.OpenAPIV3Schema, nil
}

// schemaRow is a field of a schema.
type schemaRow struct {
	path, kind, bounds, text string
}

// rows lists the fields of a schema and of the objects within it.
func rows(schema *apiextensionsv1.JSONSchemaProps, prefix string) []schemaRow {
	var all []schemaRow
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[name]
		path := prefix + name
		inner := &property
		if property.Type == "array" && property.Items != nil && property.Items.Schema != nil {
			path += "[]"
			inner = property.Items.Schema
		}
		required := slices.Contains(schema.Required, name)
		all = append(all, schemaRow{path, kind(&property), bounds(&property, required), describe(property.Description, name)})
		if name != "conditions" { // Kubernetes' own type
			all = append(all, rows(inner, path+".")...)
		}
	}
	return all
}

// describe is a description without the name that it begins with: the field's
// name in YAML, or in Go.
func describe(description, name string) string {
	text := sentence(description)
	first, _, _ := strings.Cut(text, " ")
	if !strings.EqualFold(first, name) {
		return text
	}
	return withoutName(text, first, name)
}

func kind(schema *apiextensionsv1.JSONSchemaProps) string {
	switch schema.Type {
	case "array":
		if schema.Items != nil && schema.Items.Schema != nil {
			return "list of " + plural(kind(schema.Items.Schema))
		}
		return "list"
	case "string":
		if schema.Format == "date-time" {
			return "time"
		}
	}
	return schema.Type
}

// bounds describes the validation of a field: values, limits, patterns and the
// rules that the API server evaluates.
func bounds(schema *apiextensionsv1.JSONSchemaProps, required bool) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if required {
		add("required")
	}
	if schema.Default != nil {
		add("default `%s`", strings.Trim(string(schema.Default.Raw), `"`))
	}
	if len(schema.Enum) > 0 {
		var values []string
		for _, value := range schema.Enum {
			values = append(values, code(strings.Trim(string(value.Raw), `"`)))
		}
		add("%s", strings.Join(values, ", "))
	}
	switch {
	case schema.Minimum != nil && schema.Maximum != nil:
		add("%.0f to %.0f", *schema.Minimum, *schema.Maximum)
	case schema.Minimum != nil:
		add("at least %.0f", *schema.Minimum)
	case schema.Maximum != nil:
		add("at most %.0f", *schema.Maximum)
	}
	if schema.MaxItems != nil {
		add("at most %d entries", *schema.MaxItems)
	}
	if schema.MinLength != nil {
		add("at least %s", characters(*schema.MinLength))
	}
	if schema.MaxLength != nil {
		add("at most %s", characters(*schema.MaxLength))
	}
	if schema.Pattern != "" {
		add("pattern `%s`", schema.Pattern)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		if inner := bounds(schema.Items.Schema, false); inner != "" {
			add("each: %s", inner)
		}
	}
	for _, rule := range schema.XValidations {
		if rule.Message != "" {
			add("rule: %s", rule.Message)
		}
	}
	return strings.Join(parts, "; ")
}

func characters(n int64) string {
	if n == 1 {
		return "1 character"
	}
	return fmt.Sprintf("%d characters", n)
}
