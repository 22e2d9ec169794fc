package docs_test

import (
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// Tables of EgressTenants have the columns of kubectl get, or of kubectl get --output
// wide.
func TestTablesOfTenants(t *testing.T) {
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal([]byte(read(t, "charts/egress-webhook/crds/egress.scw_egresstenants.yaml")), &definition); err != nil {
		t.Fatal(err)
	}
	narrow, wide := []string{"NAME"}, []string{"NAME"}
	for _, column := range definition.Spec.Versions[0].AdditionalPrinterColumns {
		name := strings.ToUpper(column.Name)
		wide = append(wide, name)
		if column.Priority == 0 {
			narrow = append(narrow, name)
		}
	}
	found := 0
	for _, p := range documentation(t) {
		blocks, _ := p.blocks(t)
		for _, b := range blocks {
			for line := range strings.Lines(b.text) {
				header := strings.Fields(line)
				if len(header) < 3 || !slices.Equal(header[:3], []string{"NAME", "PATH", "PORT"}) {
					continue
				}
				found++
				if !slices.Equal(header, narrow) && !slices.Equal(header, wide) {
					t.Errorf("%s:%d: the columns are %q, want %q or %q", p.path, b.line, header, narrow, wide)
				}
			}
		}
	}
	if found < 3 {
		t.Errorf("%d tables found: the test searches in the wrong way", found)
	}
}
