package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gotest.tools/v3/golden"
	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/kubectl-egress/explain"
	"egress.scw/webhook/kubectl-egress/statetest"
	"egress.scw/webhook/probe"
)

// manual is the page about the plugin.
const manual = "../../docs/kubectl.md"

// example is a block of one command, and behind it the block of its output.
var example = regexp.MustCompile("(?s)```sh\nkubectl egress ([^\n]*)\n```\n\n```text\n(.*?)```\n")

// Each command on the page prints the output behind it, in the cluster of statetest with
// a pod that is older than the label of its namespace. -update writes the outputs.
func TestManualShowsTheOutputs(t *testing.T) {
	page, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(manual)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"egress.yaml": egressYAML, "deployment.yaml": deploymentYAML, "settings.yaml": statetest.Settings, "audit.log": auditLog,
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := statetest.Healthy(t)
	web := statetest.Inject(t, s, statetest.Pod(statetest.Orders, "web-7d4b9"))
	c := fakeCluster(t, manualReport(t), web, statetest.Pod(statetest.Orders, "old-5c9f2"))
	examples := 0
	written := example.ReplaceAllStringFunc(string(page), func(text string) string {
		match := example.FindStringSubmatch(text)
		examples++
		out, err := runCommand(t, c, strings.Fields(match[1])...)
		if codeOf(err) == exitFailed {
			t.Errorf("%s: %v", match[1], err)
		}
		if out != match[2] && !golden.FlagUpdate() {
			t.Errorf("kubectl egress %s: the page shows\n%s\nand the program prints\n%s", match[1], match[2], out)
		}
		return "```sh\nkubectl egress " + match[1] + "\n```\n\n```text\n" + out + "```\n"
	})
	if examples < 8 {
		t.Errorf("%d examples found: the test searches in the wrong way", examples)
	}
	if golden.FlagUpdate() {
		if err := os.WriteFile(path, []byte(written), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// manualReport is the report of a pod where a DNS server outside of the cluster answers.
func manualReport(t *testing.T) func(*corev1.Pod) *probe.Report {
	t.Helper()
	return func(pod *corev1.Pod) *probe.Report {
		var plan probe.Plan
		if err := json.Unmarshal([]byte(pod.Spec.Containers[0].Env[0].Value), &plan); err != nil {
			t.Fatal(err)
		}
		s := statetest.Healthy(t)
		namespace, _ := s.Namespace(pod.Namespace)
		tenant := s.TenantOf(namespace)
		return outcome(plan, s.Cluster.ProxyURL(tenant), namespace.Labels[names.LabelTenant], explain.Revision(tenant), "DNS outside")
	}
}
