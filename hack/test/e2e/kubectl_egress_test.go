package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/programs"
)

// namespaceVerify is a namespace of client-a that only these tests use.
const namespaceVerify = "e2e-verify"

// kubectlEgress runs the plugin, and returns its standard output and its exit code.
func kubectlEgress(t *testing.T, binary string, args ...string) (string, int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(t.Context(), binary, append(args, "--kubeconfig="+shared.Kubeconfig())...)
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Logf("kubectl egress %s: exit code %d %s", strings.Join(args, " "), exit.ExitCode(), stderr.String())
		return stdout.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return stdout.String(), 0
}

// check is a check of verify.
type check struct{ Name, Outcome, Message, Remedy string }

// verify verifies client-a by a pod in namespaceVerify, and returns the checks that
// failed.
func verify(t *testing.T, binary string) (failed []check) {
	t.Helper()
	plan := shared.Plan
	out, code := kubectlEgress(t, binary, "verify", "client-a", "--namespace="+namespaceVerify, "--output=json", "--timeout=3m",
		"--url=http://"+environment.HTTPBinName+"/ip", "--direct="+plan.Echoes[0].String()+":443,"+plan.Echoes[1].String()+":80", "--resolvers="+plan.OpenResolver.String()+":53")
	var results []struct{ Checks []check }
	if err := json.Unmarshal([]byte(out), &results); err != nil || len(results) != 1 {
		t.Fatalf("exit code %d, %v in %s", code, err, out)
	}
	for _, c := range results[0].Checks {
		if c.Outcome == "Failed" {
			failed = append(failed, c)
		}
	}
	if want := min(len(failed), 1); code != want {
		t.Errorf("exit code %d with %d failures", code, len(failed))
	}
	return failed
}

// A plant is a fault that verify has to name.
type plant struct {
	name string
	// checks fail, and message is a part of what they report.
	checks  []string
	message string
	fault   func(t *testing.T)
}

// do runs kubectl, also after the test's context has ended.
func do(t *testing.T, args ...string) {
	t.Helper()
	if _, err := kubectl(context.WithoutCancel(t.Context()), args...); err != nil {
		t.Error(err)
	}
}

// openEgress opens an egress path of namespaceVerify, as the administrator, whom the
// guards do not bind.
func openEgress(rule string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		manifest := fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: planted, namespace: %s}\nspec: {podSelector: {}, policyTypes: [Egress], egress: [%s]}\n", namespaceVerify, rule)
		if err := shared.Apply(t.Context(), manifest); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { do(t, "--namespace="+namespaceVerify, "delete", "networkpolicy", "planted") })
	}
}

// changeAddresses changes the published shared addresses in the settings that the plugin
// reads. The webhook has read them at its start.
func changeAddresses(shared ...any) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		before, err := kubectl(t.Context(), "--namespace=egress-system", "get", "configmap", "egress-webhook-settings", "-o", "jsonpath={.data.settings\\.yaml}")
		if err != nil {
			t.Fatal(err)
		}
		var settings map[string]any
		if err := yaml.Unmarshal([]byte(before), &settings); err != nil {
			t.Fatal(err)
		}
		write := func(text string) {
			encoded, err := json.Marshal(map[string]any{"data": map[string]string{"settings.yaml": text}})
			if err != nil {
				t.Fatal(err)
			}
			do(t, "--namespace=egress-system", "patch", "configmap", "egress-webhook-settings", "--type=merge", "--patch="+string(encoded))
		}
		if err := unstructured.SetNestedSlice(settings, shared, "proxy", "egressAddresses", "shared"); err != nil {
			t.Fatal(err)
		}
		after, err := yaml.Marshal(settings)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { write(before) })
		write(string(after))
	}
}

// changeTenant patches client-a in the cluster alone, so that the proxy does not know the
// change.
func changeTenant(patch, undo string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		t.Cleanup(func() {
			do(t, "patch", "egresstenant", "client-a", "--type=merge", "--patch="+undo)
			do(t, "wait", "egresstenant/client-a", "--for=condition=Ready", "--timeout=300s")
		})
		do(t, "patch", "egresstenant", "client-a", "--type=merge", "--patch="+patch)
	}
}

func plants(t *testing.T) []plant {
	t.Helper()
	return []plant{
		{"a policy that opens the internet", []string{"policy", "direct", "metadata", "outside-dns", "other-ports"}, "NetworkPolicy planted", openEgress("{}")},
		{"DNS open", []string{"policy", "outside-dns"}, "answered: " + shared.Plan.OpenResolver.String() + ":53", openEgress("{ports: [{port: 53, protocol: UDP}]}")},
		{"another tenant's port open", []string{"policy", "other-ports"}, shared.Plan.ProxyPrivate.String() + ":3130 of tenant client-b", openEgress("{ports: [{port: 3130}]}")},
		{"a pod that is older than the label", []string{"pods"}, "WithoutVariables", oldPod},
		{"the address is not published", []string{"published"}, "source address is not published", changeAddresses()},
		{"another address is published", []string{"address"}, "198.51.100.1 is published", changeAddresses("198.51.100.1")},
		{
			"a port that the proxy does not serve",
			[]string{"ready", "pods", "proxied", "request"},
			"does not answer at " + shared.Plan.ProxyPrivate.String() + ":3200",
			changeTenant(`{"spec": {"proxy": {"port": 3200}}}`, `{"spec": {"proxy": {"port": 3129}}}`),
		},
		{
			"an allow list that the proxy does not have",
			[]string{"proxied"},
			"serves Revision",
			changeTenant(`{"spec": {"allow": {"mode": "Enforce", "domains": ["`+environment.HTTPBinName+`"]}}}`, `{"spec": {"allow": null}}`),
		},
		{"the PodSecurity label is removed", []string{"policy"}, "pod-security.kubernetes.io/enforce", func(t *testing.T) {
			label(t, namespaceVerify, "pod-security.kubernetes.io/enforce-")
			t.Cleanup(func() { label(t, namespaceVerify, "pod-security.kubernetes.io/enforce=baseline") })
		}},
		{"a guard is removed", []string{"guards"}, "own-policy.egress.scw", func(t *testing.T) {
			binding, err := kubectl(t.Context(), "get", "validatingadmissionpolicybinding", "own-policy.egress.scw", "-o", "yaml")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if _, err := shared.Kubectl(context.WithoutCancel(t.Context()), strings.NewReader(binding), "create", "-f", "-"); err != nil {
					t.Error(err)
				}
			})
			do(t, "delete", "validatingadmissionpolicybinding", "own-policy.egress.scw")
		}},
		// The pod is refused then: the webhook's failurePolicy is Fail.
		{"the policy is deleted while the webhook is away", []string{"policy", "pod"}, "has no NetworkPolicy egress-scw", func(t *testing.T) {
			t.Cleanup(func() {
				scaleWebhook(context.WithoutCancel(t.Context()), t, 2)
				do(t, "--namespace=egress-system", "rollout", "status", "deployment/egress-webhook", "--timeout=300s")
				waitPolicy(t, namespaceVerify, true)
			})
			scaleWebhook(t.Context(), t, 0)
			eventually(t, "the replicas to end", func() (bool, string) {
				out, err := kubectl(t.Context(), "--namespace=egress-system", "get", "pods", "-l", "app.kubernetes.io/name=egress-webhook", "-o", "name")
				return err == nil && out == "", fmt.Sprintf("%q %v", out, err)
			})
			do(t, "--namespace="+namespaceVerify, "delete", "networkpolicy", "egress-scw")
		}},
		{"the webhook's configuration is removed", []string{"injected"}, `HTTP_PROXY of a new pod is ""`, func(t *testing.T) {
			configuration, err := kubectl(t.Context(), "get", "mutatingwebhookconfiguration", "egress-webhook", "-o", "yaml")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if _, err := shared.Kubectl(context.WithoutCancel(t.Context()), strings.NewReader(configuration), "create", "-f", "-"); err != nil {
					t.Error(err)
				}
			})
			do(t, "delete", "mutatingwebhookconfiguration", "egress-webhook")
		}},
	}
}

// oldPod runs a pod in a namespace before that gets the tenant's label.
func oldPod(t *testing.T) {
	t.Helper()
	const namespace = "e2e-verify-old"
	if err := shared.ApplyNamespace(t.Context(), namespace, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, "delete", "namespace", namespace) })
	if err := deployProbe(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	do(t, "--namespace="+namespace, "rollout", "status", "deployment/probe", "--timeout=600s")
	label(t, namespace, "egress.scw/tenant=client-a")
	waitPolicy(t, namespace, true)
}

// verify finds nothing where all is well, and names each planted fault. It leaves no pod.
func TestVerifyNamesPlantedFaults(t *testing.T) {
	requireEnvironment(t)
	builder, err := programs.New()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := builder.Build(t.Context(), programs.KubectlEgress())
	if err != nil {
		t.Fatal(err)
	}
	if err := shared.ApplyNamespace(t.Context(), namespaceVerify, "client-a"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, "delete", "namespace", namespaceVerify) })
	waitPolicy(t, namespaceVerify, true)
	healthy := func() {
		t.Helper()
		eventually(t, "no findings", func() (bool, string) {
			failed := verify(t, binary)
			return len(failed) == 0, fmt.Sprintf("%+v", failed)
		})
	}
	healthy()
	for _, p := range plants(t) {
		t.Run(p.name, func(t *testing.T) {
			p.fault(t)
			eventually(t, "the fault to be named", func() (bool, string) {
				failed := verify(t, binary)
				var messages strings.Builder
				for _, c := range failed {
					messages.WriteString(c.Name + ": " + c.Message + "\n")
				}
				named := strings.Contains(messages.String(), p.message)
				for _, name := range p.checks {
					named = named && slices.ContainsFunc(failed, func(c check) bool { return c.Name == name })
				}
				return named, messages.String()
			})
		})
	}
	healthy()
	pods, err := kubectl(t.Context(), "--namespace="+namespaceVerify, "get", "pods", "-o", "name")
	if err != nil || strings.TrimSpace(pods) != "" {
		t.Errorf("pods are left: %q, %v", pods, err)
	}
	if out, code := kubectlEgress(t, binary, "status"); code != 0 {
		t.Errorf("status: exit code %d\n%s", code, out)
	}
}
