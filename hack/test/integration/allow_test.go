package integration

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/v1alpha1"
)

// hosts is a list of n different names.
func hosts(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("h%d.example.com", i)
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// The API server validates a tenant's allow list by the schema and its rules,
// without the webhook.
func TestAllowListIsValidatedByTheAPIServer(t *testing.T) {
	const (
		openWithDomains = "Invalid value: domains must be empty in mode Open, which allows every public host"
		emptyList       = "Invalid value: domains must not be empty in mode Enforce: nothing would be allowed"
		forbiddenPort   = ": must not be a port of mail or DNS, which are forbidden to every tenant"
	)
	for what, c := range map[string]struct {
		allow string
		want  []string // the beginning of each "field: message"; empty: the object is accepted
	}{
		"a list":                 {`{mode: Enforce, domains: [api.example.com, .example.org], ports: [80, 443, 8443]}`, nil},
		"a list by default":      {`{domains: [api.example.com]}`, nil},
		"a list to report on":    {`{mode: Report, domains: [api.example.com]}`, nil},
		"Report without domains": {`{mode: Report}`, nil},
		"open":                   {`{mode: Open}`, nil},
		"open, without domains":  {`{mode: Open, domains: []}`, nil},
		"open on a port":         {`{mode: Open, ports: [1, 24, 26, 52, 54, 464, 466, 586, 588, 65535]}`, nil},
		"no ports":               {`{domains: [x], ports: []}`, nil},
		"the longest list":       {`{domains: ` + hosts(1000) + `}`, nil},

		"open, with domains":           {`{mode: Open, domains: [x]}`, []string{"spec.allow: " + openWithDomains}},
		"Enforce without domains":      {`{mode: Enforce}`, []string{"spec.allow: " + emptyList}},
		"default mode without domains": {`{}`, []string{"spec.allow: " + emptyList}},
		"an empty list":                {`{mode: Enforce, domains: []}`, []string{"spec.allow: " + emptyList}},
		"ports without domains":        {`{ports: [443]}`, []string{"spec.allow: " + emptyList}},
		"SMTP":                         {`{mode: Open, ports: [25]}`, []string{"spec.allow.ports[0]: Invalid value: 25" + forbiddenPort}},
		"DNS":                          {`{mode: Report, ports: [443, 53]}`, []string{"spec.allow.ports[1]: Invalid value: 53" + forbiddenPort}},
		"submission":                   {`{domains: [x], ports: [465, 587]}`, []string{"spec.allow.ports[0]: Invalid value: 465" + forbiddenPort, "spec.allow.ports[1]: Invalid value: 587" + forbiddenPort}},
		"everything wrong at once":     {`{mode: Open, domains: [x], ports: [80, 25]}`, []string{"spec.allow: " + openWithDomains, "spec.allow.ports[1]: Invalid value: 25" + forbiddenPort}},

		"another mode":     {`{mode: Deny, domains: [x]}`, []string{`spec.allow.mode: Unsupported value: "Deny": supported values: "Enforce", "Report", "Open"`}},
		"a port too low":   {`{mode: Open, ports: [0]}`, []string{"spec.allow.ports[0]: Invalid value: 0: spec.allow.ports[0] in body should be greater than or equal to 1"}},
		"a port too high":  {`{mode: Open, ports: [65536]}`, []string{"spec.allow.ports[0]: Invalid value: 65536: spec.allow.ports[0] in body should be less than or equal to 65535"}},
		"duplicate port":   {`{mode: Open, ports: [443, 443]}`, []string{"spec.allow.ports[1]: Duplicate value: 443"}},
		"duplicate name":   {`{domains: [x, x]}`, []string{`spec.allow.domains[1]: Duplicate value: "x"`}},
		"a pattern":        {`{domains: ["*.example.com"]}`, []string{`spec.allow.domains[0]: Invalid value: "*.example.com": spec.allow.domains[0] in body should match`}},
		"a URL":            {`{domains: ["https://example.com"]}`, []string{`spec.allow.domains[0]: Invalid value: "https://example.com": spec.allow.domains[0] in body should match`}},
		"too many names":   {`{domains: ` + hosts(1001) + `}`, []string{"spec.allow.domains: Too many: 1001: must have at most 1000 items"}},
		"too many ports":   {`{mode: Open, ports: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]}`, []string{"spec.allow.ports: Too many: 17: must have at most 16 items"}},
		"a name of no one": {`{domains: [""]}`, []string{`spec.allow.domains[0]: Invalid value: ""`}},
	} {
		t.Run(what, func(t *testing.T) {
			var spec map[string]any
			if err := yaml.Unmarshal([]byte("proxy: {port: 3254}\nallow: "+c.allow), &spec); err != nil {
				t.Fatal(err)
			}
			object := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
			object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("EgressTenant"))
			object.SetName("listed")
			got := causes(t, shared.client.Create(t.Context(), object, client.DryRunAll))
			for i, want := range c.want {
				if i < len(got) && strings.HasPrefix(got[i], want) {
					got[i] = want
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// causes are the API server's reasons for refusing an object, as "field:
// message".
func causes(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var refused apierrors.APIStatus
	if !errors.As(err, &refused) || refused.Status().Reason != metav1.StatusReasonInvalid {
		t.Fatalf("it is refused for another reason than being invalid: %v", err)
	}
	var all []string
	for _, cause := range refused.Status().Details.Causes {
		if strings.HasPrefix(cause.Field, "<nil>") {
			continue // reports that rules are not evaluated if the schema refuses
		}
		all = append(all, cause.Field+": "+cause.Message)
	}
	return all
}
