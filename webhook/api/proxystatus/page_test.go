package proxystatus

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
)

const (
	revisionA = "0123456789abcdef"
	revisionB = "fedcba9876543210"
)

func TestParse(t *testing.T) {
	t.Parallel()
	a := "3129:" + revisionA + ":client-a"
	for name, test := range map[string]struct {
		page string
		want []Tenant
		err  string
	}{
		"tenants": {Head + "\n" + a + ",3255:" + revisionB + ":0\n", []Tenant{{3129, revisionA, "client-a"}, {3255, revisionB, "0"}}, ""},
		"none":    {Head + "\n-\n", nil, ""},

		"empty":                {"", nil, "does not begin"},
		"another version":      {"egress-status/2\n-\n", nil, "does not begin"},
		"page of a denial":     {"<!DOCTYPE html>\n" + Head + "\n-\n", nil, "does not begin"},
		"truncated":            {Head + "\n" + a, nil, "newline"},
		"no tenants":           {Head + "\n\n", nil, "tenant 1"},
		"a further line":       {Head + "\n" + a + "\n\n", nil, "tenant 1"},
		"a further separator":  {Head + "\n" + a + ",\n", nil, "tenant 2"},
		"port of the status":   {Head + "\n3128:" + revisionA + ":client-a\n", nil, "port"},
		"port outside":         {Head + "\n3256:" + revisionA + ":client-a\n", nil, "port"},
		"port of another form": {Head + "\n03129:" + revisionA + ":client-a\n", nil, "port"},
		"port with a sign":     {Head + "\n+3129:" + revisionA + ":client-a\n", nil, "port"},
		"short revision":       {Head + "\n3129:" + revisionA[1:] + ":client-a\n", nil, "revision"},
		"revision of letters":  {Head + "\n3129:" + strings.ToUpper(revisionA) + ":client-a\n", nil, "revision"},
		"no name":              {Head + "\n3129:" + revisionA + ":\n", nil, "name"},
		"long name":            {Head + "\n3129:" + revisionA + ":" + strings.Repeat("a", 64) + "\n", nil, "name"},
		"name with a space":    {Head + "\n3129:" + revisionA + ":a b\n", nil, "name"},
		"a port twice":         {Head + "\n" + a + ",3129:" + revisionA + ":client-b\n", nil, "another one"},
		"a tenant twice":       {Head + "\n" + a + ",3130:" + revisionA + ":client-a\n", nil, "another one"},
		"too long":             {Head + "\n" + strings.Repeat("a", MaxSize) + "\n", nil, "bytes"},
	} {
		got, err := Parse([]byte(test.page))
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s, -want +got:\n%s", name, diff)
		}
		if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: error %v, want %q", name, err, test.err)
		}
	}
}

// TestLargestPage: a page of all ports, with names of the maximum length, is within
// MaxSize.
func TestLargestPage(t *testing.T) {
	t.Parallel()
	var tenants []Tenant
	for port := names.TenantPortMin; port <= names.TenantPortMax; port++ {
		tenants = append(tenants, Tenant{uint16(port), revisionA, strings.Repeat("a", 59) + fmt.Sprint(port)})
	}
	got, err := Parse(page(tenants))
	if err != nil || !slices.Equal(got, tenants) {
		t.Errorf("%d bytes: %v", len(page(tenants)), err)
	}
}

// page returns the page of tenants.
func page(tenants []Tenant) []byte {
	line := none
	if len(tenants) > 0 {
		texts := make([]string, 0, len(tenants))
		for _, tenant := range tenants {
			texts = append(texts, tenant.String())
		}
		line = strings.Join(texts, separator)
	}
	return []byte(Head + "\n" + line + "\n")
}

// FuzzParse: a page that is accepted is exactly the page of its tenants.
func FuzzParse(f *testing.F) {
	for _, seed := range [][]Tenant{nil, {{3129, revisionA, "client-a"}}, {{3129, revisionA, "client-a"}, {3130, revisionB, "client-b"}}} {
		f.Add(page(seed))
	}
	f.Add([]byte(Head + "\n3129:" + revisionA + ":a,\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		tenants, err := Parse(text)
		if err != nil {
			return
		}
		if got := page(tenants); string(got) != string(text) {
			t.Errorf("%q is accepted as %q", text, got)
		}
	})
}
