package chart_test

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"egress.scw/charts"
	"egress.scw/webhook/api/names"
)

// Values with which every guard is on.
const allGuards = minimalValues + "\nguards: {imageRegistries: [rg.fr-par.scw.cloud/platform]}"

// guard is the content of one file in templates/guards.
type guard struct {
	policy  *admissionregistrationv1.ValidatingAdmissionPolicy
	binding *admissionregistrationv1.ValidatingAdmissionPolicyBinding
}

// guards returns the rendered guards by the name of their file, without its
// extension.
func guards(t *testing.T, r rendered) map[string]guard {
	t.Helper()
	found := map[string]guard{}
	for _, policy := range all[*admissionregistrationv1.ValidatingAdmissionPolicy](r) {
		name, ok := strings.CutSuffix(policy.Name, "."+names.Group)
		if !ok {
			t.Errorf("policy %s does not end in .%s", policy.Name, names.Group)
		}
		found[name] = guard{policy: policy}
	}
	for _, binding := range all[*admissionregistrationv1.ValidatingAdmissionPolicyBinding](r) {
		name := strings.TrimSuffix(binding.Name, "."+names.Group)
		g, ok := found[name]
		if !ok || g.binding != nil || binding.Spec.PolicyName != g.policy.Name {
			t.Errorf("binding %s of %s: each guard has one binding of its own name", binding.Name, binding.Spec.PolicyName)
		}
		g.binding = binding
		found[name] = g
	}
	return found
}

// guardFiles returns the names of the files in templates/guards, without their
// extension.
func guardFiles(t *testing.T) []string {
	t.Helper()
	entries, err := fs.ReadDir(charts.EgressWebhook, "egress-webhook/templates/guards")
	if err != nil {
		t.Fatal(err)
	}
	files := make([]string, 0, len(entries))
	for _, entry := range entries {
		files = append(files, strings.TrimSuffix(entry.Name(), path.Ext(entry.Name())))
	}
	return files
}

// Each file is one guard, which refuses by itself: it neither depends on another
// object nor lets a request pass when an expression fails.
func TestGuardsRefuse(t *testing.T) {
	rendered := guards(t, mustInstall(t, allGuards))
	for _, file := range guardFiles(t) {
		g, ok := rendered[file]
		if !ok || g.binding == nil {
			t.Errorf("templates/guards/%s.yaml renders no policy with a binding of that name", file)
			continue
		}
		spec := g.policy.Spec
		if spec.FailurePolicy == nil || *spec.FailurePolicy != admissionregistrationv1.Fail {
			t.Errorf("%s: an expression that fails lets the request pass", file)
		}
		if spec.ParamKind != nil || g.binding.Spec.ParamRef != nil || g.binding.Spec.MatchResources != nil {
			t.Errorf("%s depends on parameters, or its binding selects less than its policy", file)
		}
		if !slices.Equal(g.binding.Spec.ValidationActions, []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}) {
			t.Errorf("%s: actions %v", file, g.binding.Spec.ValidationActions)
		}
		delete(rendered, file)
	}
	for name := range rendered {
		t.Errorf("%s is in no file of its own", name)
	}
}

// A message is a constant: one that is computed is replaced without notice by
// "failed expression: …" when a field is absent. It contains the remedy and who
// is exempt.
func TestGuardsHaveMessages(t *testing.T) {
	for name, g := range guards(t, mustInstall(t, allGuards)) {
		for _, validation := range g.policy.Spec.Validations {
			if validation.MessageExpression != "" {
				t.Errorf("%s computes its message: %s", name, validation.MessageExpression)
			}
			if strings.Contains(validation.Message, "\n") || strings.Count(validation.Message, ". ") < 1 {
				t.Errorf("%s: the message has no second sentence with a remedy: %q", name, validation.Message)
			}
			if !strings.Contains(validation.Message, `"`+names.VerbEnforce+`" on egresstenants.`+names.Group) {
				t.Errorf("%s: the message does not name the verb that is needed: %q", name, validation.Message)
			}
			if validation.Reason == nil || *validation.Reason != metav1.StatusReasonForbidden {
				t.Errorf("%s: reason %v, not Forbidden", name, validation.Reason)
			}
		}
		if len(g.policy.Spec.Validations) == 0 {
			t.Errorf("%s validates nothing", name)
		}
	}
}

// namespaceObject is null in matchConditions. The error would refuse every
// request of the matched kinds in the whole cluster.
func TestGuardsExempt(t *testing.T) {
	for name, g := range guards(t, mustInstall(t, allGuards)) {
		var conditions []string
		for _, condition := range g.policy.Spec.MatchConditions {
			conditions = append(conditions, condition.Expression)
			if strings.Contains(condition.Expression, "namespaceObject") {
				t.Errorf("%s: namespaceObject in the matchCondition %s", name, condition.Name)
			}
		}
		for _, want := range []string{
			"!authorizer.group('" + names.Group + "').resource('egresstenants').check('" + names.VerbEnforce + "').allowed()",
			"!(request.userInfo.username in ['system:serviceaccount:kube-system:namespace-controller', 'system:kube-controller-manager'])",
		} {
			if !slices.Contains(conditions, want) {
				t.Errorf("%s has no matchCondition %s", name, want)
			}
		}
	}
	exempt := rbacv1.PolicyRule{APIGroups: []string{names.Group}, Resources: []string{"egresstenants"}, Verbs: []string{names.VerbEnforce}}
	if !slices.ContainsFunc(webhookRole(t, mustInstall(t, minimalValues)).Rules, func(rule rbacv1.PolicyRule) bool {
		return rule.String() == exempt.String()
	}) {
		t.Error("the webhook is not exempt: its own NetworkPolicies would be refused")
	}
}

// Guards of namespaced objects select the namespaces that the webhook selects.
// Three have to look at every namespace.
func TestGuardsSelectTenants(t *testing.T) {
	everywhere := []string{"namespace-labels", "external-ips", "load-balancer-status"}
	for name, g := range guards(t, mustInstall(t, allGuards)) {
		selector := g.policy.Spec.MatchConstraints.NamespaceSelector
		if slices.Contains(everywhere, name) {
			if selector != nil {
				t.Errorf("%s selects namespaces by their labels", name)
			}
			continue
		}
		matches, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			t.Fatal(err)
		}
		for namespace, want := range map[string]bool{"client-a": true, "kube-system": false, "cert-manager": false, releaseNamespace: false} {
			set := labels.Set{corev1.LabelMetadataName: namespace}
			if matches.Matches(set) {
				t.Errorf("%s selects namespace %s without the tenant label", name, namespace)
			}
			set[names.LabelTenant] = ""
			if got := matches.Matches(set); got != want {
				t.Errorf("%s: namespace %s with the tenant label: selected %t, want %t", name, namespace, got, want)
			}
		}
	}
}

// Each guard can be switched off by itself, with the value of its name.
func TestGuardsCanBeSwitchedOff(t *testing.T) {
	every := guardFiles(t)
	var values struct {
		Guards map[string]any `json:"guards"`
	}
	file, err := fs.ReadFile(charts.EgressWebhook, "egress-webhook/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(file, &values); err != nil {
		t.Fatal(err)
	}
	for _, name := range every {
		value, off := valueOf(name), "false"
		switch on := values.Guards[value].(type) {
		case bool:
			if !on {
				t.Errorf("guards.%s is off by default", value)
			}
		case []any:
			off = "[]"
		default:
			t.Errorf("values.yaml has no guards.%s, for %s", value, name)
			continue
		}
		r := guards(t, mustInstall(t, minimalValues+"\nguards: {imageRegistries: [localhost], "+value+": "+off+"}"))
		if value == "imageRegistries" {
			r = guards(t, mustInstall(t, minimalValues))
		}
		for _, other := range every {
			if _, rendered := r[other]; rendered != (other != name) {
				t.Errorf("with guards.%s: %s, %s is rendered: %t", value, off, other, rendered)
			}
		}
	}
}

// valueOf returns the key below guards: own-policy becomes ownPolicy. IP is
// written in capitals.
func valueOf(name string) string {
	value := regexp.MustCompile(`-[a-z]`).ReplaceAllStringFunc(name, func(s string) string { return strings.ToUpper(s[1:]) })
	return strings.ReplaceAll(value, "Ips", "IPs")
}

// Helm writes the objects in this order, one by one. If the guards came first,
// they would refuse the webhook's own NetworkPolicies until its ClusterRole has
// the exemption.
func TestRightsComeBeforeGuards(t *testing.T) {
	lastRight, firstGuard := -1, -1
	for i, object := range mustInstall(t, allGuards).objects {
		switch object.(type) {
		case *rbacv1.ClusterRole, *rbacv1.ClusterRoleBinding:
			lastRight = i
		case *admissionregistrationv1.ValidatingAdmissionPolicy, *admissionregistrationv1.ValidatingAdmissionPolicyBinding:
			if firstGuard < 0 {
				firstGuard = i
			}
		}
	}
	if lastRight < 0 || firstGuard < lastRight {
		t.Errorf("the last ClusterRole or binding is object %d, the first guard object %d", lastRight, firstGuard)
	}
}

// The list of tenants is a list of customers: it is not part of the role "view".
func TestViewerIsNotAggregated(t *testing.T) {
	for _, role := range all[*rbacv1.ClusterRole](mustInstall(t, minimalValues)) {
		for label := range role.Labels {
			if strings.HasPrefix(label, "rbac.authorization.k8s.io/aggregate-to-") {
				t.Errorf("ClusterRole %s is aggregated: %s", role.Name, label)
			}
		}
		if role.Name != names.ViewerRole {
			continue
		}
		for _, rule := range role.Rules {
			for _, verb := range rule.Verbs {
				if !slices.Contains([]string{"get", "list", "watch"}, verb) {
					t.Errorf("%s may %s %v", role.Name, verb, rule.Resources)
				}
			}
		}
		return
	}
	t.Errorf("the chart has no ClusterRole %s", names.ViewerRole)
}

// The status of a tenant reports the guards that are on by default, by the names
// and the label that the webhook knows.
func TestGuardsAreTheNamesOfTheStatus(t *testing.T) {
	var got []string
	for _, binding := range all[*admissionregistrationv1.ValidatingAdmissionPolicyBinding](mustInstall(t, minimalValues)) {
		got = append(got, binding.Spec.PolicyName)
		if binding.Labels[names.ChartLabel] != names.ChartName {
			t.Errorf("binding %s has the labels %v, and the webhook watches those with %s=%s", binding.Name, binding.Labels, names.ChartLabel, names.ChartName)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, names.Guards()) {
		t.Errorf("the chart has the guards %q by default, and the webhook reports %q", got, names.Guards())
	}
}
