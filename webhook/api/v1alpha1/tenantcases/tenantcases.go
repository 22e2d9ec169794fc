// Package tenantcases is one table of EgressTenants, valid and not, for the tests
// of everything that validates them: Validate, and the API server with the
// CustomResourceDefinition.
package tenantcases

import (
	_ "embed"
	"encoding/json"
	"testing"

	"sigs.k8s.io/yaml"
)

//go:embed cases.yaml
var table []byte

// Case is an EgressTenant, and the errors that Validate returns for it.
type Case struct {
	// Name describes the case.
	Name string `json:"name"`
	// Tenant is the EgressTenant in JSON, without apiVersion and kind.
	Tenant json.RawMessage `json:"tenant"`
	// Errors are the beginnings of the errors, in their order: field and type. A
	// tenant without errors is valid.
	Errors []string `json:"errors"`
	// SchemaAccepts is true if the schema cannot express the error, so that the API
	// server accepts the tenant.
	SchemaAccepts bool `json:"schemaAccepts"`
}

// All returns the cases.
func All(tb testing.TB) []Case {
	tb.Helper()
	var cases []Case
	if err := yaml.UnmarshalStrict(table, &cases); err != nil {
		tb.Fatal(err)
	}
	for _, c := range cases {
		if c.SchemaAccepts && len(c.Errors) == 0 {
			tb.Errorf("%s: the schema accepts every valid tenant", c.Name)
		}
	}
	return cases
}
