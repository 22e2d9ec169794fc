package chart_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/network-policy-api/apis/v1alpha2"
	"sigs.k8s.io/network-policy-api/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/names"
)

// Values with a ClusterNetworkPolicy in which nothing is left out.
const boundedTenants = minimalValues + `
proxy: {addresses: [172.16.28.8, "2001:db8::8"]}
dns: {nodeLocalAddress: 169.254.20.10}
clusterNetworkPolicy:
  enabled: true
  destinations:
    - networks: [172.16.28.20/32]
    - namespaces: {matchLabels: {kubernetes.io/metadata.name: observability}}
    - pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: shared}}}
  exceptTenants: [client-z]
tenants:
  - {name: client-a, proxy: {port: 3129}}
  - {name: client-g, path: Gateway}`

// The policy is what the definition of network-policy-api accepts, in each of
// its versions.
func TestClusterNetworkPolicyIsValid(t *testing.T) {
	if got := all[*v1beta1.ClusterNetworkPolicy](mustInstall(t, minimalValues)); len(got) > 0 {
		t.Error("there is a ClusterNetworkPolicy by default: not every cluster knows the kind")
	}
	for version, apis := range map[string][]string{"v1alpha2": nil, "v1beta1": {v1beta1.GroupVersion.String()}} {
		t.Run(version, func(t *testing.T) {
			r, err := installOn(t, "v1.37.2", boundedTenants, apis...)
			if err != nil {
				t.Fatal(err)
			}
			var found runtime.Object
			for _, object := range r.objects {
				switch object.(type) {
				case *v1alpha2.ClusterNetworkPolicy, *v1beta1.ClusterNetworkPolicy:
					found = object
				}
			}
			if found == nil || found.GetObjectKind().GroupVersionKind().Version != version {
				t.Fatalf("no ClusterNetworkPolicy of version %s: %v", version, found)
			}
			content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(found)
			if err != nil {
				t.Fatal(err)
			}
			delete(content, "status")
			requireDefined(t, version, content)
		})
	}
}

// requireDefined validates an object against the definition in the module of
// network-policy-api, with schema and rules.
func requireDefined(t *testing.T, version string, content map[string]any) {
	t.Helper()
	module, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/network-policy-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(module)), "config/crd/standard/policy.networking.k8s.io_clusternetworkpolicies.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(file, &definition); err != nil {
		t.Fatal(err)
	}
	for _, each := range definition.Spec.Versions {
		if each.Name != version {
			continue
		}
		var schema apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(each.Schema.OpenAPIV3Schema, &schema, nil); err != nil {
			t.Fatal(err)
		}
		validator, _, err := validation.NewSchemaValidator(&schema)
		if err != nil {
			t.Fatal(err)
		}
		errs := validation.ValidateCustomResource(nil, content, validator)
		structural, err := structuralschema.NewStructural(&schema)
		if err != nil {
			t.Fatal(err)
		}
		rules, _ := cel.NewValidator(structural, true, celconfig.PerCallLimit).
			Validate(t.Context(), nil, structural, content, nil, celconfig.RuntimeCELCostBudget)
		if errs = append(errs, rules...); len(errs) > 0 {
			t.Error(errs.ToAggregate())
		}
		return
	}
	t.Errorf("the definition has no version %s", version)
}

// It applies to tenants with the proxy, and the last rule denies everything.
func TestClusterNetworkPolicyBoundsTenants(t *testing.T) {
	policy := only[*v1alpha2.ClusterNetworkPolicy](t, mustInstall(t, boundedTenants))
	selector, err := metav1.LabelSelectorAsSelector(policy.Spec.Subject.Namespaces)
	if err != nil {
		t.Fatal(err)
	}
	for tenant, want := range map[string]bool{"client-a": true, "client-of-no-value": true, "client-g": false, "client-z": false} {
		if got := selector.Matches(labels.Set{names.LabelTenant: tenant, corev1.LabelMetadataName: "orders"}); got != want {
			t.Errorf("it applies to tenant %s: %t, want %t", tenant, got, want)
		}
	}
	if selector.Matches(labels.Set{corev1.LabelMetadataName: "orders"}) || selector.Matches(labels.Set{names.LabelTenant: "client-a", corev1.LabelMetadataName: "kube-system"}) {
		t.Error("it applies to namespaces of no tenant")
	}
	rules := policy.Spec.Egress
	for i, rule := range rules {
		want := v1alpha2.ClusterNetworkPolicyRuleActionPass
		if i == len(rules)-1 {
			want = v1alpha2.ClusterNetworkPolicyRuleActionDeny
		}
		if rule.Action != want {
			t.Errorf("rule %d (%s) is %s, want %s: Accept would overrule the NetworkPolicies", i, rule.Name, rule.Action, want)
		}
	}
	last := rules[len(rules)-1]
	if len(last.To) != 2 || last.To[0].Namespaces == nil || len(last.To[0].Namespaces.MatchLabels)+len(last.To[0].Namespaces.MatchExpressions) > 0 ||
		len(last.To[1].Networks) != 2 || last.To[1].Networks[0] != "0.0.0.0/0" || last.To[1].Networks[1] != "::/0" || len(last.Protocols) > 0 {
		t.Errorf("the last rule does not deny everything: %+v", last)
	}
	if proxy := rules[1]; len(proxy.Protocols) != 1 || proxy.Protocols[0].TCP == nil || proxy.Protocols[0].TCP.DestinationPort.Range == nil ||
		proxy.Protocols[0].TCP.DestinationPort.Range.Start != names.TenantPortMin || proxy.Protocols[0].TCP.DestinationPort.Range.End != names.TenantPortMax {
		t.Errorf("the rule about the proxy does not pass exactly the tenants' ports: %+v", rules[1])
	}
}
