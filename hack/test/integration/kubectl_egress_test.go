package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"egress.scw/hack/local/programs"
	"egress.scw/webhook/api/names"
)

// plugin builds kubectl-egress once.
var plugin = sync.OnceValues(func() (string, error) {
	builder, err := programs.New()
	if err != nil {
		return "", err
	}
	return builder.Build(context.Background(), programs.KubectlEgress())
})

// kubectlEgress runs the plugin as the administrator, and returns its standard output
// and its exit code.
func kubectlEgress(t *testing.T, input string, args ...string) (string, int) {
	t.Helper()
	binary, err := plugin()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), binary, append(args, "--kubeconfig="+shared.cluster.Kubeconfig("admin"))...)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &stdout, &stderr
	err = command.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	} else if ok {
		t.Logf("kubectl egress %s: %s", strings.Join(args, " "), stderr.String())
		return stdout.String(), exit.ExitCode()
	}
	return stdout.String(), 0
}

// explained is the part of an explanation that tests read.
type explained struct {
	Decision struct{ Action, Reason string }
	Coverage struct{ Coverage, Reason string }
	Policy   struct{ State string }
	Patch    json.RawMessage

	Containers []struct {
		Name      string
		Variables []struct{ Name, Value string }
		Route     struct{ Way, Open string }
	}
}

func explainJSON(t *testing.T, input string, args ...string) (e explained) {
	t.Helper()
	out, code := kubectlEgress(t, input, append(append([]string{"explain"}, args...), "--output=json")...)
	if err := json.Unmarshal([]byte(out), &e); err != nil || code != 0 {
		t.Fatalf("code %d, %v in %s", code, err, out)
	}
	return e
}

// The variables that explain --file announces are those of the pod that the API server
// stores after the webhook's patch, and explain pod finds it covered. The tenant is the
// test's own: those of other tests lose a namespace at any time, because namespaces are
// deleted in the background, and NO_PROXY names them.
func TestKubectlEgressExplainsWhatIsAdmitted(t *testing.T) {
	own := tenant("explained", 3205)
	createTenant(t, &own)
	namespace := newNamespace(t, own.Name)
	proxyURL(t, own.Name) // until then, the variables have the address of a machine
	requireNoProxy(t, namespace, "the webhook to know the tenant", []string{"." + namespace}, nil)
	spec := corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "init", Image: "none"}},
		Containers: []corev1.Container{
			{Name: "plain", Image: "none"},
			{Name: "own", Image: "none", Env: []corev1.EnvVar{{Name: "NO_PROXY", Value: "intranet.example"}}},
		},
	}
	manifest, err := yaml.Marshal(&corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: spec,
	})
	if err != nil {
		t.Fatal(err)
	}
	announced := explainJSON(t, string(manifest), "--file=-", "--namespace="+namespace)
	if announced.Decision.Action != "Inject" || len(announced.Patch) == 0 {
		t.Errorf("got %+v", announced.Decision)
	}
	pod := createPod(t, namespace, spec)
	for _, container := range announced.Containers {
		stored := environment(pod, container.Name)
		for _, variable := range container.Variables {
			// The announced values are expanded as the kubelet does it.
			if value := strings.ReplaceAll(stored[variable.Name], "$(NO_PROXY)", stored["NO_PROXY"]); value != variable.Value {
				t.Errorf("%s: %s is announced as %q, and stored as %q", container.Name, variable.Name, variable.Value, value)
			}
		}
		if len(container.Variables) != 6 {
			t.Errorf("%s: %d variables", container.Name, len(container.Variables))
		}
	}
	eventually(t, "the policy to be in sync", func(context.Context) (bool, string) {
		existing := explainJSON(t, "", "pod", pod.Name, "--namespace="+namespace, "--url=https://api.example.com") //nolint:contextcheck // it has the context of the test
		route := existing.Containers[0].Route
		return existing.Coverage.Coverage == "Covered" && existing.Policy.State == "InSync" && route.Way == "Proxy" && route.Open == "Open",
			existing.Coverage.Coverage + " " + existing.Coverage.Reason + " " + existing.Policy.State + " " + route.Way + " " + route.Open
	})
}

// statusReport is the part of the status that tests read.
type statusReport struct {
	Uncovered []struct{ Namespace, Name, Coverage string }
	Findings  []struct{ Object, Message string }
	Tenants   []struct{ Name, Revision string }
}

func status(t *testing.T) (report statusReport, code int) {
	t.Helper()
	out, code := kubectlEgress(t, "", "status", "--output=json")
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("code %d, %v in %s", code, err, out)
	}
	return report, code
}

// A pod that is older than the label of its namespace is uncovered, and a namespace
// without its PodSecurity label is a finding.
func TestKubectlEgressStatusFindsOldPods(t *testing.T) {
	namespace := newNamespace(t, "")
	old := createPod(t, namespace, corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}})
	setLabel := func(change string) {
		t.Helper()
		object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
		if err := shared.client.Patch(t.Context(), object, client.RawPatch("application/merge-patch+json", []byte(change))); err != nil {
			t.Fatal(err)
		}
	}
	setLabel(`{"metadata": {"labels": {"` + names.LabelTenant + `": "client-a"}}}`)
	setLabel(`{"metadata": {"labels": {"pod-security.kubernetes.io/enforce": null}}}`)
	report, code := status(t)
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if !slices.ContainsFunc(report.Uncovered, func(p struct{ Namespace, Name, Coverage string }) bool {
		return p.Namespace == namespace && p.Name == old.Name && p.Coverage == "WithoutVariables"
	}) {
		t.Errorf("pod %s/%s is not uncovered: %+v", namespace, old.Name, report.Uncovered)
	}
	if !slices.ContainsFunc(report.Findings, func(f struct{ Object, Message string }) bool {
		return f.Object == "namespace/"+namespace && strings.Contains(f.Message, "pod-security.kubernetes.io/enforce")
	}) {
		t.Errorf("no finding about the PodSecurity of %s: %+v", namespace, report.Findings)
	}
	if !slices.ContainsFunc(report.Tenants, func(tenant struct{ Name, Revision string }) bool {
		return tenant.Name == "client-a" && len(tenant.Revision) == 16
	}) {
		t.Errorf("no Revision of client-a: %+v", report.Tenants)
	}
}

func TestKubectlEgressAllowed(t *testing.T) {
	for url, want := range map[string]int{"https://example.org": 0, "http://10.0.0.1": 1, "https://example.org:25": 1, "ftp://example.org": 2} {
		if out, code := kubectlEgress(t, "", "allowed", "client-a", url); code != want {
			t.Errorf("%s: exit code %d, want %d: %s", url, code, want, out)
		}
	}
	if _, code := kubectlEgress(t, "", "allowed", "client-missing", "https://example.org"); code != 2 {
		t.Errorf("unknown tenant: exit code %d, want 2", code)
	}
}

// The API server accepts the proposal.
func TestKubectlEgressSuggestionIsAccepted(t *testing.T) {
	line := `{"time":"2026-11-25T09:42:59.621Z","tenant":"client-a","method":"CONNECT","host":"HOST","hostPort":"443","verdict":"allowed","rule":"-","sni":"-"}` + "\n"
	log := strings.ReplaceAll(line, "HOST", "one.example.com") + strings.ReplaceAll(line, "HOST", "two.example.com") + "x\n"
	out, code := kubectlEgress(t, log, "suggest", "client-a", "--fold")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	proposal := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(out), &proposal.Object); err != nil {
		t.Fatal(err)
	}
	if domains, _, err := unstructured.NestedStringSlice(proposal.Object, "spec", "allow", "domains"); err != nil || !slices.Equal(domains, []string{".example.com"}) {
		t.Errorf("domains %q, %v", domains, err)
	}
	err := shared.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(proposal), client.DryRunAll, client.FieldOwner("test"), client.ForceOwnership)
	if err != nil {
		t.Errorf("the API server refuses the proposal: %v\n%s", err, out)
	}
}

// Without a kubelet, the pod does not end: verify says so, reports the checks that need
// no pod, and deletes the pod. The creation of the pod takes a part of the timeout, on a
// busy machine one of seconds.
func TestKubectlEgressVerifyWithoutAKubelet(t *testing.T) {
	namespace := newNamespace(t, "client-b")
	out, code := kubectlEgress(t, "", "verify", "client-b", "--namespace="+namespace, "--timeout=20s", "--image=none", "--output=json")
	var results []struct {
		Checks []struct{ Name, Outcome, Message string }
	}
	if err := json.Unmarshal([]byte(out), &results); err != nil || code != 1 || len(results) != 1 {
		t.Fatalf("code %d, %v in %s", code, err, out)
	}
	outcomes := map[string]string{}
	for _, check := range results[0].Checks {
		outcomes[check.Name] = check.Outcome
		if check.Name == "pod" && !strings.Contains(check.Message, "does not end") {
			t.Errorf("pod: %s", check.Message)
		}
	}
	for check, want := range map[string]string{"pod": "Failed", "guards": "Passed", "published": "Passed", "injected": "Skipped", "direct": "Skipped"} {
		if outcomes[check] != want {
			t.Errorf("%s: %s, want %s", check, outcomes[check], want)
		}
	}
	var pods corev1.PodList
	if err := shared.client.List(t.Context(), &pods, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/name": "egress-verify"}); err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp == nil {
			t.Errorf("pod %s is left", pod.Name)
		}
	}
}
