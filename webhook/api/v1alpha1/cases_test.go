package v1alpha1_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/api/v1alpha1/tenantcases"
)

// TestCases: Validate returns the errors of the table, which the API server is
// tested with as well.
func TestCases(t *testing.T) {
	t.Parallel()
	for _, c := range tenantcases.All(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			tenant := &v1alpha1.EgressTenant{}
			decoder := json.NewDecoder(bytes.NewReader(c.Tenant))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(tenant); err != nil {
				t.Fatal(err)
			}
			got := tenant.Validate()
			if len(got) != len(c.Errors) {
				t.Fatalf("errors are %v, want %q", got, c.Errors)
			}
			for i, want := range c.Errors {
				if !strings.HasPrefix(got[i].Error(), want) {
					t.Errorf("error %d is %q, want %q…", i, got[i], want)
				}
			}
		})
	}
}
