package docs_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	helmrelease "helm.sh/helm/v4/pkg/release/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"egress.scw/webhook/api/names"
)

// The table of docs/guards.md contains every guard of the chart, with its
// message.
func TestGuards(t *testing.T) {
	attacked := attackedGuards(t)
	rows := []string{"| Guard | Value | Attack | Namespaces | Permitted to | Attacked on | Answer |", "|---|---|---|---|---|---|---|"}
	for _, policy := range guards(t) {
		rows = append(rows, row(policy, attacked[policy.Name]))
	}
	if len(rows) == 2 {
		t.Fatal("the chart renders no guard")
	}
	if table := strings.Join(rows, "\n") + "\n"; !strings.Contains(read(t, "docs/guards.md"), table) {
		t.Errorf("docs/guards.md does not contain the table of the chart's guards:\n%s", table)
	}
}

// attackedGuards returns, for each guard that the end-to-end tests attack, the
// networks of pods on which they do.
func attackedGuards(t *testing.T) map[string]string {
	t.Helper()
	const onCilium = "hack/test/e2e/attack_cilium_test.go"
	files, err := fs.Glob(repository(t), "hack/test/e2e/attack_*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	attacked := map[string]string{}
	for _, file := range files {
		for _, match := range regexp.MustCompile(`byGuard\("([a-z-]+)"\)`).FindAllStringSubmatch(read(t, file), -1) {
			attacked[match[1]+"."+names.Group] = "local, Cilium"
			if file == onCilium {
				attacked[match[1]+"."+names.Group] = "Cilium"
			}
		}
	}
	if len(attacked) == 0 {
		t.Fatal("no attack names a guard")
	}
	return attacked
}

// row describes a guard. Further validations have a row of their own.
func row(policy admissionregistrationv1.ValidatingAdmissionPolicy, attacked string) string {
	name := strings.TrimSuffix(policy.Name, "."+names.Group)
	value := regexp.MustCompile(`-[a-z]`).ReplaceAllStringFunc(name, func(s string) string { return strings.ToUpper(s[1:]) })
	namespaces := "all"
	if policy.Spec.MatchConstraints.NamespaceSelector != nil {
		namespaces = "tenants'"
	}
	permitted := []string{"`" + names.VerbEnforce + "`"}
	var answers []string
	for _, validation := range policy.Spec.Validations {
		if strings.Contains(validation.Expression, "variables.mayUse") {
			permitted = append(permitted, "`"+names.VerbUse+"`")
		}
		answers = append(answers, validation.Message)
	}
	for _, condition := range policy.Spec.MatchConditions {
		who := strings.ReplaceAll(strings.TrimPrefix(condition.Name, "not-by-"), "-", " ")
		if who != "the platform" && who != "the namespace controller" {
			permitted = append(permitted, who)
		}
	}
	return fmt.Sprintf("| `%s` | `%s` | %s | %s | %s | %s | %s |", policy.Name, strings.ReplaceAll(value, "Ips", "IPs"),
		policy.Annotations["kubernetes.io/description"], namespaces, strings.Join(permitted, ", "), attacked, strings.Join(answers, " |\n| | | | | | | "))
}

// guards renders the chart with every guard, in the order of their names.
func guards(t *testing.T) []admissionregistrationv1.ValidatingAdmissionPolicy {
	t.Helper()
	releaser, err := renderChart(t, map[string]any{
		"proxy":  map[string]any{"addresses": []any{"172.16.28.8"}},
		"guards": map[string]any{"imageRegistries": []any{"rg.fr-par.scw.cloud/platform"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var policies []admissionregistrationv1.ValidatingAdmissionPolicy
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader([]byte(releaser.(*helmrelease.Release).Manifest))))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return policies
		}
		if err != nil {
			t.Fatal(err)
		}
		var policy admissionregistrationv1.ValidatingAdmissionPolicy
		if err := yaml.Unmarshal(document, &policy.TypeMeta); err != nil {
			t.Fatal(err)
		}
		if policy.Kind != "ValidatingAdmissionPolicy" {
			continue
		}
		if err := yaml.UnmarshalStrict(document, &policy); err != nil {
			t.Fatal(err)
		}
		policies = append(policies, policy)
	}
}
