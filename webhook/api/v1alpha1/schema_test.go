package v1alpha1

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"egress.scw/charts"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/policy"
)

// jsonSchema is the schema of a value in the CustomResourceDefinition.
type jsonSchema struct {
	Properties    map[string]*jsonSchema `json:"properties"`
	Required      []string               `json:"required"`
	Items         *jsonSchema            `json:"items"`
	Enum          []string               `json:"enum"`
	Default       any                    `json:"default"`
	Minimum       *int64                 `json:"minimum"`
	Maximum       *int64                 `json:"maximum"`
	MinItems      *int64                 `json:"minItems"`
	MaxItems      *int64                 `json:"maxItems"`
	MinProperties *int64                 `json:"minProperties"`
	MaxProperties *int64                 `json:"maxProperties"`
	MinLength     *int64                 `json:"minLength"`
	MaxLength     *int64                 `json:"maxLength"`
	Pattern       string                 `json:"pattern"`
	ListType      string                 `json:"x-kubernetes-list-type"`
	Validations   []struct {
		Rule string `json:"rule"`
	} `json:"x-kubernetes-validations"`
}

// accepts reports whether the API server accepts the string, by its length and
// pattern.
func (s *jsonSchema) accepts(text string) bool {
	length := int64(utf8.RuneCountInString(text))
	return length >= *s.MinLength && length <= *s.MaxLength && regexp.MustCompile(s.Pattern).MatchString(text)
}

// tenantSchema returns the schema of EgressTenant in the chart's definition.
func tenantSchema(tb testing.TB) *jsonSchema {
	tb.Helper()
	var definition struct {
		Spec struct {
			Versions []struct {
				Name   string `json:"name"`
				Schema struct {
					OpenAPIV3Schema *jsonSchema `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(charts.EgressTenantCRD, &definition); err != nil {
		tb.Fatal(err)
	}
	versions := definition.Spec.Versions
	if len(versions) != 1 || versions[0].Name != GroupVersion.Version {
		tb.Fatalf("the definition has versions %+v, want %s only", versions, GroupVersion.Version)
	}
	return versions[0].Schema.OpenAPIV3Schema
}

func specSchema(tb testing.TB) *jsonSchema {
	tb.Helper()
	return tenantSchema(tb).Properties["spec"]
}

// TestSchemaHasTheBounds: the API server accepts every spec that Validate accepts,
// and refuses as many of the others as a schema can.
func TestSchemaHasTheBounds(t *testing.T) {
	t.Parallel()
	got := specSchema(t)
	noProxy, domains := got.Properties["noProxy"], got.Properties["allow"].Properties["domains"]
	amounts := &jsonSchema{Properties: map[string]*jsonSchema{
		"cpu":    {MinLength: new(int64(1)), MaxLength: new(int64(maxCPULength)), Pattern: cpuPattern.String()},
		"memory": {MinLength: new(int64(1)), MaxLength: new(int64(maxMemoryLength)), Pattern: memoryPattern.String()},
	}}
	want := &jsonSchema{
		Validations: got.Validations,
		Properties: map[string]*jsonSchema{
			"path":    {Enum: []string{string(PathProxy), string(PathGateway)}, Default: string(PathProxy)},
			"ingress": {Enum: []string{string(IngressOpen), string(IngressTenant)}, Default: string(IngressOpen)},
			"ingressFrom": {
				MaxItems: new(int64(maxIngressFrom)), ListType: "set",
				Items: &jsonSchema{MaxLength: new(int64(validation.DNS1123LabelMaxLength)), Pattern: nameDNSLabel},
			},
			"clusterAccess": {
				MaxItems: new(int64(maxClusterAccess)), ListType: "atomic",
				Items: &jsonSchema{
					Properties: map[string]*jsonSchema{
						"namespace": {MaxLength: new(int64(validation.DNS1123LabelMaxLength)), Pattern: nameDNSLabel},
						"podLabels": {MinProperties: new(int64(1)), MaxProperties: new(int64(maxPodLabels))},
						"cidr":      {MaxLength: new(int64(len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"))), Pattern: `^[0-9a-fA-F.:]+/[0-9]{1,3}$`},
						"apiServer": {},
						"ports": {
							MinItems: new(int64(1)), MaxItems: new(int64(maxAccessPorts)), ListType: "set",
							Items: &jsonSchema{Minimum: new(int64(1)), Maximum: new(int64(65535))},
						},
					},
					Validations: got.Properties["clusterAccess"].Items.Validations,
				},
			},
			"nodePool": {
				MinProperties: new(int64(1)),
				Properties: map[string]*jsonSchema{
					"nodeSelector": {MinProperties: new(int64(1)), MaxProperties: new(int64(maxNodeLabels))},
					"tolerations": {
						MinItems: new(int64(1)), MaxItems: new(int64(maxTolerations)), ListType: "atomic",
						Items: &jsonSchema{
							Required: []string{"key"},
							Properties: map[string]*jsonSchema{
								"key":      {MinLength: new(int64(1)), MaxLength: new(int64(317))}, // a DNS subdomain of 253, a slash, 63
								"operator": {Enum: []string{string(TolerationEqual), string(TolerationExists)}},
								"value":    {MaxLength: new(int64(validation.LabelValueMaxLength))},
								"effect":   {Enum: []string{"NoSchedule", "PreferNoSchedule", "NoExecute"}},
							},
							Validations: got.Properties["nodePool"].Properties["tolerations"].Items.Validations,
						},
					},
				},
			},
			"proxy": {
				Required: []string{"port"},
				Properties: map[string]*jsonSchema{
					"port":         {Minimum: new(int64(names.TenantPortMin)), Maximum: new(int64(names.TenantPortMax))},
					"egressIP":     {Enum: []string{string(EgressIPShared), string(EgressIPDedicated)}, Default: string(EgressIPShared)},
					"bandwidthKiB": {Minimum: new(int64(BandwidthMin)), Maximum: new(int64(BandwidthMax))},
				},
			},
			"allow": {
				Properties: map[string]*jsonSchema{
					"mode": {Enum: []string{string(policy.ModeEnforce), string(policy.ModeReport), string(policy.ModeOpen)}, Default: string(policy.ModeEnforce)},
					"domains": {
						MaxItems: new(int64(maxAllowDomains)), ListType: "set",
						Items: &jsonSchema{MinLength: new(int64(1)), MaxLength: new(int64(policy.MaxDomainLength)), Pattern: domains.Items.Pattern}, // compared with ParseDomain by FuzzSchemaAcceptsDomains
					},
					"ports": {
						MaxItems: new(int64(maxAllowPorts)), ListType: "set",
						Items: &jsonSchema{Minimum: new(int64(1)), Maximum: new(int64(65535)), Validations: got.Properties["allow"].Properties["ports"].Items.Validations},
					},
				},
				Validations: got.Properties["allow"].Validations,
			},
			"runtimes": {
				MaxItems: new(int64(len(Runtimes()))), ListType: "set",
				Items: &jsonSchema{Enum: []string{string(RuntimeJava), string(RuntimeNode), string(RuntimePerl)}},
			},
			"sidecar": {
				Properties: map[string]*jsonSchema{
					"capture":   {Enum: []string{string(CaptureNone), string(CaptureNames)}, Default: string(CaptureNone)},
					"resources": {Properties: map[string]*jsonSchema{"requests": amounts, "limits": amounts}},
				},
			},
			"dns": {Enum: []string{string(DNSCluster), string(DNSClosed)}, Default: string(DNSCluster)},
			"noProxy": {
				MaxItems: new(int64(maxNoProxy)), ListType: "set",
				Items: &jsonSchema{
					MinLength: new(int64(1)), MaxLength: new(int64(noproxy.MaxLength)),
					Pattern: noProxy.Items.Pattern, // compared with noproxy.Parse by FuzzSchemaAcceptsNoProxy
				},
			},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the schema of spec (-want +definition):\n%s", diff)
	}
	for _, text := range []string{"", "a\nb", "a b", "a,b", "*.example", `"a"`, "'a'", `a\b`, strings.Repeat("a", noproxy.MaxLength+1)} {
		if noProxy.Items.accepts(text) {
			t.Errorf("the schema accepts %q as an entry of noProxy", text)
		}
	}
}

// nameDNSLabel is the pattern of the names of namespaces.
const nameDNSLabel = "^([a-z0-9][-a-z0-9]*)?[a-z0-9]$"

// TestSchemaBoundsTheStatus: the controllers write no more namespaces than the
// definition admits.
func TestSchemaBoundsTheStatus(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"namespaces", "optedOutNamespaces"} {
		got := tenantSchema(t).Properties["status"].Properties[field].MaxItems
		if got == nil || *got != MaxStatusNamespaces {
			t.Errorf("status.%s is not bounded by %d", field, MaxStatusNamespaces)
		}
	}
}

// TestSchemaHasTheAllowRules: the mode decides whether there may and must be
// domains, in the definition as in Validate.
func TestSchemaHasTheAllowRules(t *testing.T) {
	t.Parallel()
	var got []string
	for _, rule := range specSchema(t).Properties["allow"].Validations {
		got = append(got, rule.Rule)
	}
	want := []string{
		"self.mode != 'Open' || !has(self.domains) || size(self.domains) == 0",
		"self.mode != 'Enforce' || (has(self.domains) && size(self.domains) > 0)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +definition):\n%s", diff)
	}
}

// TestSchemaHasTheForbiddenPorts: the definition has the list that Validate has.
func TestSchemaHasTheForbiddenPorts(t *testing.T) {
	t.Parallel()
	var ports []string
	for _, port := range policy.ForbiddenPorts() {
		ports = append(ports, strconv.Itoa(int(port)))
	}
	rules := specSchema(t).Properties["allow"].Properties["ports"].Items.Validations
	if want := "!(self in [" + strings.Join(ports, ", ") + "])"; len(rules) != 1 || rules[0].Rule != want {
		t.Errorf("the rules of a port are %v, want %s", rules, want)
	}
}

// TestSchemaHasTheNameRule: a schema cannot bound metadata.name; a rule can.
func TestSchemaHasTheNameRule(t *testing.T) {
	t.Parallel()
	rules := tenantSchema(t).Validations
	if len(rules) != 1 {
		t.Fatalf("%d rules, want one about the name", len(rules))
	}
	parts := regexp.MustCompile(`^self\.metadata\.name\.matches\('(.*)'\) && size\(self\.metadata\.name\) <= (\d+)$`).FindStringSubmatch(rules[0].Rule)
	if parts == nil {
		t.Fatalf("this test does not understand the rule %s", rules[0].Rule)
	}
	if parts[2] != strconv.Itoa(validation.DNS1123LabelMaxLength) {
		t.Errorf("names are bounded by %s, not %d", parts[2], validation.DNS1123LabelMaxLength)
	}
	for _, name := range []string{"a", "42", "client-a", "a--b", "", "-a", "a-", "A", "a.b", "a_b", "a\n", "ä"} {
		valid := len(validateName(name, nil)) == 0
		if matches := regexp.MustCompile(parts[1]).MatchString(name); matches != valid {
			t.Errorf("%q: the rule accepts it: %t, Validate: %t", name, matches, valid)
		}
	}
}
