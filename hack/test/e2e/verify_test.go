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

// verify verifies a tenant by a pod in a namespace, which requests a URL, and returns the
// checks.
func verify(t *testing.T, binary, tenant, namespace, url string) []check {
	t.Helper()
	plan := shared.Plan
	out, code := kubectlEgress(t, binary, "verify", tenant, "--namespace="+namespace, "--output=json", "--timeout=3m", "--url="+url,
		"--direct="+plan.Echoes[0].String()+":443,"+plan.Echoes[1].String()+":80", "--resolvers="+plan.OpenResolver.String()+":53")
	var results []struct{ Checks []check }
	if err := json.Unmarshal([]byte(out), &results); err != nil || len(results) != 1 {
		t.Fatalf("exit code %d, %v in %s", code, err, out)
	}
	if failed := failedOf(results[0].Checks); code != min(len(failed), 1) {
		t.Errorf("exit code %d with %d failures", code, len(failed))
	}
	return results[0].Checks
}

func failedOf(checks []check) []check {
	return slices.DeleteFunc(slices.Clone(checks), func(c check) bool { return c.Outcome != "Failed" })
}

// A plant is a fault that verify has to name.
type plant struct {
	name string
	// checks fail, and the message of one of them contains message.
	checks  []string
	message string
	fault   func(t *testing.T)
}

// hidden describes what is missing of a fault in the checks that failed. It is empty if
// the fault is named.
func (p *plant) hidden(failed []check) string {
	var missing []string
	named := false
	for _, name := range p.checks {
		at := slices.IndexFunc(failed, func(c check) bool { return c.Name == name })
		if at < 0 {
			missing = append(missing, "check "+name)
			continue
		}
		named = named || strings.Contains(failed[at].Message, p.message)
	}
	if !named {
		missing = append(missing, fmt.Sprintf("message %q", p.message))
	}
	if len(missing) == 0 {
		return ""
	}
	return p.name + ": no " + strings.Join(missing, ", ") + "; "
}

// do runs kubectl, also after the test's context has ended.
func do(t *testing.T, args ...string) {
	t.Helper()
	if _, err := kubectl(context.WithoutCancel(t.Context()), args...); err != nil {
		t.Error(err)
	}
}

// requireNamed waits until verify names all of the faults.
func requireNamed(t *testing.T, plants []plant, verify func(*testing.T) []check) {
	t.Helper()
	eventually(t, "the faults to be named", func() (bool, string) {
		failed := failedOf(verify(t))
		hidden := ""
		for i := range plants {
			hidden += plants[i].hidden(failed)
		}
		return hidden == "", fmt.Sprintf("%s%+v", hidden, failed)
	})
}

// verify finds nothing where all is well, and names each planted fault. It leaves no pod.
// The objects of the chart have their former field managers after each fault
// (chartObject).
func TestVerifyNamesPlantedFaults(t *testing.T) {
	requireEnvironment(t)
	binary := buildProgram(t, programs.KubectlEgress())
	if err := shared.ApplyNamespace(t.Context(), namespaceVerify, "client-a"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, "delete", "namespace", namespaceVerify) })
	waitPolicy(t, namespaceVerify, true)
	verify := func(t *testing.T) []check {
		t.Helper()
		return verify(t, binary, "client-a", namespaceVerify, "http://"+environment.HTTPBinName+"/ip")
	}
	healthy := func() {
		t.Helper()
		eventually(t, "no findings", func() (bool, string) {
			failed := failedOf(verify(t))
			return len(failed) == 0, fmt.Sprintf("%+v", failed)
		})
	}
	healthy()
	for name, plants := range faults() {
		t.Run(name, func(t *testing.T) {
			// After the last fault of the group is undone.
			t.Cleanup(func() { do(t, "wait", "egresstenant/client-a", "--for=condition=Ready", "--timeout=300s") })
			for _, p := range plants {
				p.fault(t)
			}
			requireNamed(t, plants, verify)
		})
	}
	healthy()
	// The kubelet ends the last pod after verify has deleted it.
	eventually(t, "no pod to be left", func() (bool, string) {
		pods, err := kubectl(t.Context(), "--namespace="+namespaceVerify, "get", "pods", "-o", "name")
		return err == nil && strings.TrimSpace(pods) == "", fmt.Sprint(pods, err)
	})
	eventually(t, "a status without findings", func() (bool, string) {
		out, code := kubectlEgress(t, binary, "status")
		return code == 0, out
	})
}
