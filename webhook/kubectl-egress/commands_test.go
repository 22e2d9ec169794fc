package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gotest.tools/v3/golden"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/kubectl-egress/coverage"
	"egress.scw/webhook/kubectl-egress/explain"
	"egress.scw/webhook/kubectl-egress/statetest"
	"egress.scw/webhook/kubectl-egress/verify"
	"egress.scw/webhook/probe"
)

// codeOf is the exit code of an error.
func codeOf(err error) int {
	return exitCode(context.Background(), &bytes.Buffer{}, err)
}

func TestStatus(t *testing.T) {
	s := statetest.Healthy(t)
	web := statetest.Inject(t, s, statetest.Pod(statetest.Orders, "web"))
	out, err := runCommand(t, fakeCluster(t, nil, web), "status")
	if codeOf(err) != exitDone {
		t.Errorf("%v", err)
	}
	golden.Assert(t, out, "status.golden.txt")

	out, err = runCommand(t, fakeCluster(t, nil, web, statetest.Pod(statetest.Orders, "old")), "status")
	if codeOf(err) != exitNegative {
		t.Errorf("with an old pod: %v", err)
	}
	golden.Assert(t, out, "status-uncovered.golden.txt")

	out, err = runCommand(t, fakeCluster(t, nil, web), "status", "-o", "json")
	var report coverage.Report
	if err != nil || json.Unmarshal([]byte(out), &report) != nil || len(report.Tenants) != 2 || report.Total.Covered != 1 {
		t.Errorf("%v, %s", err, out)
	}
}

func TestExplain(t *testing.T) {
	s := statetest.Healthy(t)
	web := statetest.Inject(t, s, statetest.Pod(statetest.Orders, "web"))
	c := fakeCluster(t, nil, web, statetest.Pod(statetest.Orders, "old"))
	for file, args := range map[string][]string{
		"explain-pod.golden.txt":       {"pod", "web", "--namespace", "orders", "--url", "https://api.github.com"},
		"explain-old-pod.golden.txt":   {"pod/old", "--namespace", "orders"},
		"explain-namespace.golden.txt": {"ns", "orders"},
		"explain-tenant.golden.txt":    {"et", "client-a", "--url", "https://example.org"},
	} {
		out, err := runCommand(t, c, append([]string{"explain"}, args...)...)
		if want := map[bool]int{false: exitDone, true: exitNegative}[slices.Contains(args, "https://example.org")]; codeOf(err) != want {
			t.Errorf("%v: exit code %d, want %d: %v", args, codeOf(err), want, err)
		}
		golden.Assert(t, out, file)
	}
}

// A pod's values are shown, and do not control the terminal.
func TestExplainEscapesValues(t *testing.T) {
	pod := statetest.Pod(statetest.Orders, "hostile")
	pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "HTTP_PROXY", Value: "http://a\x1b[2J\x1b]52;c;eA==\a"}}
	out, err := runCommand(t, fakeCluster(t, nil, pod), "explain", "pod", "hostile", "--namespace", "orders")
	if err != nil || strings.Contains(out, "\x1b") || !strings.Contains(out, `HTTP_PROXY=http://a\x1b[2J\x1b]52;c;eA==\a`) {
		t.Errorf("%v\n%q", err, out)
	}
}

// A value with a line break does not add a line to the output that looks like one of this
// program.
func TestValuesAddNoLines(t *testing.T) {
	s := statetest.Healthy(t)
	pod := statetest.Inject(t, s, statetest.Pod(statetest.Orders, "hostile"))
	pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "HTTP_PROXY", Value: "http://a\nNo findings: all is well.\n"}}
	pod.Annotations[names.AnnotationStatus] = `{"tenant":"client-a","hash":"0000000000000000"}`
	for _, command := range []string{"status -o wide", "explain pod hostile --namespace orders", "explain namespace orders", "verify client-a"} {
		c := fakeCluster(t, func(*corev1.Pod) *probe.Report { return &probe.Report{} }, pod)
		out, _ := runCommand(t, c, strings.Fields(command)...)
		if !strings.Contains(out, "No findings: all is well.") {
			t.Errorf("%s: the value is not shown\n%s", command, out)
		}
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, "No findings: all") {
				t.Errorf("%s: the value is a line of its own\n%s", command, out)
			}
		}
	}
}

// Without a replica of the webhook, the conditions of tenants are those of earlier: the
// outputs that show them report it.
func TestConditionsThatAreNotKeptUp(t *testing.T) {
	deployment := statetest.Deployment()
	c := fakeCluster(t, nil)
	deployment.Status.ReadyReplicas = 0
	if err := c.client.Status().Update(t.Context(), deployment); err != nil {
		t.Fatal(err)
	}
	for command, code := range map[string]int{"status": exitNegative, "explain et client-a": exitDone} {
		out, err := runCommand(t, c, strings.Fields(command)...)
		t.Logf("%s\n%s", command, out)
		if codeOf(err) != code || !strings.Contains(out, "deployment/egress-system/egress-webhook") || !strings.Contains(out, "the status of tenants stays as it was last") {
			t.Errorf("%s: exit code %d, %v\n%s", command, codeOf(err), err, out)
		}
	}
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const egressYAML = `apiVersion: egress.scw/v1alpha1
kind: Egress
metadata: {name: production}
spec:
  tenants:
    - name: client-a
      proxy: {port: 3129}
      allow: {domains: [api.github.com]}
`

const deploymentYAML = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: orders}
spec:
  template:
    spec:
      containers: [{name: web, image: web}]
`

func TestExplainFileWithoutACluster(t *testing.T) {
	out, err := runCommand(t, nil, "explain", "--file", writeFile(t, "deployment.yaml", deploymentYAML), "--settings", writeFile(t, "settings.yaml", statetest.Settings),
		"--tenants", writeFile(t, "egress.yaml", egressYAML), "--tenant", "client-a", "--url", "https://example.org")
	if codeOf(err) != exitNegative {
		t.Errorf("exit code %d, want %d: %v", codeOf(err), exitNegative, err)
	}
	golden.Assert(t, out, "explain-file.golden.txt")
}

func TestExplainRefusesWrongArguments(t *testing.T) {
	deployment := writeFile(t, "deployment.yaml", deploymentYAML)
	for want, args := range map[string][]string{
		"name an object":                {},
		`"service" cannot be explained`: {"service", "web"},
		"exclude each other":            {"pod", "web", "--file", deployment},
		"need each other":               {"--file", deployment, "--settings", "settings.yaml"},
		"need --file":                   {"pod", "web", "--tenant", "client-a"},
		"is of namespace orders":        {"--file", deployment, "--namespace", "other", "--settings", "x", "--tenants", "y"},
		"the scheme is":                 {"pod", "web", "--url", "ftp://x.example"},
		"--output: is":                  {"pod", "web", "-o", "xml"},
	} {
		_, err := runCommand(t, nil, append([]string{"explain"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) || codeOf(err) != exitFailed {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}

func TestAllowedCommand(t *testing.T) {
	tenants := writeFile(t, "egress.yaml", egressYAML)
	for url, want := range map[string]struct {
		code int
		out  string
	}{
		"https://api.github.com": {exitDone, "allowed: spec.allow lists api.github.com and port 443; the proxy also requires that the name resolves to a public address\n"},
		"https://example.org":    {exitNegative, "denied by rule domain: spec.allow.domains does not cover example.org\n"},
	} {
		out, err := runCommand(t, nil, "allowed", "client-a", url, "--tenants", tenants)
		if codeOf(err) != want.code || out != want.out {
			t.Errorf("%s: %q, %v; want %q", url, out, err, want.out)
		}
	}
	out, err := runCommand(t, fakeCluster(t, nil), "allowed", "client-a", "https://www.example.com", "-o", "json")
	var verdict explain.Verdict
	if err != nil || json.Unmarshal([]byte(out), &verdict) != nil || verdict.Verdict != "allowed" || verdict.Host != "www.example.com" {
		t.Errorf("of the cluster: %s, %v", out, err)
	}
	if _, err := runCommand(t, fakeCluster(t, nil), "allowed", "client-x", "https://www.example.com"); codeOf(err) != exitFailed {
		t.Errorf("unknown tenant: %v", err)
	}
}

// The pod of verify, without colours, and its deletion.
func TestVerify(t *testing.T) {
	answer := func(succeed string) func(*corev1.Pod) *probe.Report {
		return func(pod *corev1.Pod) *probe.Report {
			var plan probe.Plan
			if err := json.Unmarshal([]byte(pod.Spec.Containers[0].Env[0].Value), &plan); err != nil {
				t.Fatal(err)
			}
			s := statetest.Healthy(t)
			namespace, _ := s.Namespace(pod.Namespace)
			return outcome(plan, s.Cluster.ProxyURL(s.TenantOf(namespace)), namespace.Labels[names.LabelTenant], explain.Revision(s.TenantOf(namespace)), succeed)
		}
	}
	c := fakeCluster(t, answer("none"))
	out, err := runCommand(t, c, "verify", "client-a")
	if codeOf(err) != exitDone {
		t.Errorf("%v", err)
	}
	golden.Assert(t, out, "verify.golden.txt")
	var pods corev1.PodList
	if err := c.client.List(t.Context(), &pods); err != nil || len(pods.Items) != 0 {
		t.Errorf("%d pods are left, %v", len(pods.Items), err)
	}
	out, err = runCommand(t, fakeCluster(t, answer("DNS outside")), "verify", "-o", "junit")
	if codeOf(err) != exitNegative || xml.Unmarshal([]byte(out), new(struct{})) != nil || strings.Count(out, "<testsuite ") != 2 || strings.Count(out, "<failure ") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = runCommand(t, fakeCluster(t, answer("none")), "verify", "client-a", "--namespace", "stock", "-o", "json")
	var results []verify.Result
	if err != nil || json.Unmarshal([]byte(out), &results) != nil || results[0].Namespace != "stock" {
		t.Errorf("%v, %s", err, out)
	}
	if _, err := runCommand(t, c, "verify", "client-a", "--namespace", "billing"); codeOf(err) != exitFailed || !strings.Contains(err.Error(), "is not of EgressTenant client-a") {
		t.Errorf("a namespace of another tenant: %v", err)
	}
}

// A tenant whose pod cannot run is a failure of its own, and does not hide the results of
// the others from a pipeline.
func TestVerifyOfAllTenantsReportsEachOne(t *testing.T) {
	answer := func(*corev1.Pod) *probe.Report { return &probe.Report{} }
	for name, test := range map[string]struct {
		plant func(client.Client) error
		says  string
	}{
		"opted out": {func(api client.Client) error {
			namespace := &corev1.Namespace{}
			if err := api.Get(t.Context(), client.ObjectKey{Name: statetest.Billing}, namespace); err != nil {
				return err
			}
			namespace.Labels[names.LabelInject] = "false"
			return api.Update(t.Context(), namespace)
		}, "turns injection off in every namespace of EgressTenant client-b"},
		"not valid": {func(api client.Client) error {
			tenant := &v1alpha1.EgressTenant{}
			if err := api.Get(t.Context(), client.ObjectKey{Name: "client-b"}, tenant); err != nil {
				return err
			}
			tenant.Spec.Proxy.Port = 1
			return api.Update(t.Context(), tenant)
		}, "EgressTenant client-b is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			c := fakeCluster(t, answer)
			if err := test.plant(c.client); err != nil {
				t.Fatal(err)
			}
			out, err := runCommand(t, c, "verify", "-o", "json")
			var results []verify.Result
			if codeOf(err) != exitNegative || json.Unmarshal([]byte(out), &results) != nil || len(results) != 2 || !strings.Contains(out, test.says) {
				t.Errorf("exit code %d, %v\n%s", codeOf(err), err, out)
			}
			if _, err := runCommand(t, c, "verify", "client-b"); codeOf(err) != exitFailed || !strings.Contains(err.Error(), test.says) {
				t.Errorf("the tenant alone: exit code %d, %v", codeOf(err), err)
			}
		})
	}
}

// outcome is what a pod prints. succeed is the beginning of the names of attempts that
// should not succeed, and do.
func outcome(plan probe.Plan, proxy, tenant, revision, succeed string) *probe.Report {
	report := &probe.Report{Environment: map[string]string{"HTTP_PROXY": proxy, "http_proxy": proxy, "HTTPS_PROXY": proxy, "https_proxy": proxy}}
	for _, attempt := range plan.Attempts {
		result := probe.Result{Name: attempt.Name, Succeeded: attempt.Open || strings.HasPrefix(attempt.Name, succeed)}
		switch {
		case attempt.Kind == probe.Resolve:
			result.Addresses = []string{"10.32.0.1"}
		case attempt.URL == names.ProbeURL:
			result.Status, result.Header = 403, map[string]string{names.HeaderTenant: tenant, names.HeaderRevision: revision}
		case attempt.Kind == probe.Get:
			result.Status, result.Body = 200, map[string]string{"client-a": "203.0.113.50", "client-b": "203.0.113.51"}[tenant]
		}
		report.Results = append(report.Results, result)
	}
	return report
}

// A pod that is refused is a finding, and one that does not start too.
func TestVerifyWithoutAPod(t *testing.T) {
	c := fakeCluster(t, nil)
	c.client = refusing{c.client}
	out, err := runCommand(t, c, "verify", "client-a")
	if codeOf(err) != exitNegative || !strings.Contains(out, "exceeded quota") {
		t.Errorf("%v\n%s", err, out)
	}
}

// faulty is a cluster in which requests about pods fail, after they have taken effect.
type faulty struct {
	client.Client

	create, remove error
}

func (f faulty) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	if f.create == nil {
		return f.Client.Create(ctx, object, options...)
	}
	if err := f.Client.Create(ctx, object.DeepCopyObject().(client.Object), options...); err != nil {
		return err
	}
	return f.create
}

func (f faulty) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	if f.remove != nil {
		return f.remove
	}
	return f.Client.Delete(ctx, object, options...)
}

// A pod that is created although the answer is lost is deleted. A pod that cannot be deleted
// is a finding, or the error of a run that is interrupted.
func TestVerifyLeavesNoPod(t *testing.T) {
	answer := func(*corev1.Pod) *probe.Report { return &probe.Report{} }
	lost := fakeCluster(t, answer)
	lost.client = faulty{Client: lost.client, create: context.DeadlineExceeded}
	out, err := runCommand(t, lost, "verify", "client-a")
	var pods corev1.PodList
	if listed := lost.client.List(t.Context(), &pods); listed != nil || len(pods.Items) != 0 {
		t.Errorf("the answer to the creation is lost: %d pods are left, %v", len(pods.Items), listed)
	}
	if codeOf(err) != exitNegative || !strings.Contains(out, context.DeadlineExceeded.Error()) {
		t.Errorf("the answer to the creation is lost: %v\n%s", err, out)
	}

	kept := fakeCluster(t, answer)
	kept.client = faulty{Client: kept.client, remove: errors.New("pods is forbidden")}
	out, err = runCommand(t, kept, "verify", "client-a")
	if codeOf(err) != exitNegative || !strings.Contains(out, "kubectl --namespace orders delete pod egress-verify-") || !strings.Contains(out, "pods is forbidden") {
		t.Errorf("the pod cannot be deleted: %v\n%s", err, out)
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	var printed bytes.Buffer
	if code := exitCode(ended, &printed, fmt.Errorf("%w: pods is forbidden", errNotDeleted)); code != exitInterrupted || !strings.Contains(printed.String(), "the pod remains") {
		t.Errorf("interrupted: exit code %d, %q", code, printed.String())
	}
}

// refusing creates no objects.
type refusing struct{ client.Client }

func (refusing) Create(context.Context, client.Object, ...client.CreateOption) error {
	return errors.New("exceeded quota")
}

func TestHelpOfEveryCommand(t *testing.T) {
	for _, command := range []string{"", "status", "explain", "allowed", "verify", "suggest", "logs"} {
		args := append(strings.Fields(command), "--help")
		out, err := runCommand(t, nil, args...)
		if err != nil || !strings.Contains(out, "Examples:\n") || !strings.Contains(out, "kubectl egress "+command) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func TestCompletion(t *testing.T) {
	out, err := runCommand(t, fakeCluster(t, nil), "__complete", "allowed", "")
	if err != nil || !strings.HasPrefix(out, "client-a\nclient-b\n") {
		t.Errorf("%v, %q", err, out)
	}
	if out, err = runCommand(t, fakeCluster(t, nil), "__complete", "explain", ""); err != nil || !strings.HasPrefix(out, "pod\nnamespace\ntenant\n") {
		t.Errorf("%v, %q", err, out)
	}
}

func TestColours(t *testing.T) {
	for name, test := range map[string]struct {
		terminal  bool
		variables map[string]string
		want      bool
	}{
		"terminal": {true, nil, true}, "pipe": {false, nil, false}, "NO_COLOR": {true, map[string]string{"NO_COLOR": "1"}, false}, "dumb": {true, map[string]string{"TERM": "dumb"}, false},
	} {
		a := &app{environment: environment{terminal: test.terminal, getenv: func(name string) string { return test.variables[name] }}}
		if got := bool(a.paint()); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestExitCodes(t *testing.T) {
	var out bytes.Buffer
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for want, err := range map[int]error{exitDone: nil, exitNegative: errNegative, exitFailed: errors.New("broken")} {
		if got := exitCode(t.Context(), &out, err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
	if out.String() != "Error: broken\n" {
		t.Errorf("printed %q", out.String())
	}
	if got := exitCode(ended, &out, context.Canceled); got != exitInterrupted {
		t.Errorf("interrupted: %d", got)
	}
}
