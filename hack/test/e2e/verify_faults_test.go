package e2e

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"egress.scw/hack/local/environment"
	"egress.scw/webhook/api/names"
)

// openEgress opens an egress path of a namespace, as the administrator, whom the guards do
// not bind.
func openEgress(namespace, name, rule string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		manifest := fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: %s, namespace: %s}\nspec: {podSelector: {}, policyTypes: [Egress], egress: [%s]}\n", name, namespace, rule)
		if err := shared.Apply(t.Context(), manifest); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { do(t, "--namespace="+namespace, "delete", "networkpolicy", name) })
	}
}

// changeAddresses changes the published shared addresses in the settings that the plugin
// reads. The webhook has read them at its start.
func changeAddresses(addresses ...any) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		takeChartObject(t, "egress-system", "configmap", names.SettingsConfigMap).change(t, func(object *unstructured.Unstructured) error {
			text, _, err := unstructured.NestedString(object.Object, "data", names.SettingsKey)
			if err != nil {
				return err
			}
			var settings map[string]any
			if err := yaml.Unmarshal([]byte(text), &settings); err != nil {
				return err
			}
			if err := unstructured.SetNestedSlice(settings, addresses, "proxy", "egressAddresses", "shared"); err != nil {
				return err
			}
			after, err := yaml.Marshal(settings)
			if err != nil {
				return err
			}
			return unstructured.SetNestedField(object.Object, string(after), "data", names.SettingsKey)
		})
	}
}

// changeTenant changes the spec of client-a in the cluster alone, so that the proxy does
// not know the change.
func changeTenant(value any, field ...string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		takeChartObject(t, "", "egresstenant", "client-a").change(t, func(object *unstructured.Unstructured) error {
			return unstructured.SetNestedField(object.Object, value, append([]string{"spec"}, field...)...)
		})
	}
}

// removeObject deletes an object of the chart that has no namespace.
func removeObject(kind, name string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		takeChartObject(t, "", kind, name).remove(t)
	}
}

// removeWebhook ends all replicas of the webhook.
func removeWebhook(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		do(t, "--namespace=egress-system", "rollout", "status", "deployment/egress-webhook", "--timeout=300s")
		waitPolicy(t, namespaceVerify, true)
	})
	takeChartObject(t, "egress-system", "deployment", "egress-webhook").change(t, func(object *unstructured.Unstructured) error {
		return unstructured.SetNestedField(object.Object, int64(0), "spec", "replicas")
	})
	eventually(t, "the replicas to end", func() (bool, string) {
		out, err := kubectl(t.Context(), "--namespace=egress-system", "get", "pods", "-l", "app.kubernetes.io/name=egress-webhook", "-o", "name")
		return err == nil && out == "", fmt.Sprintf("%q %v", out, err)
	})
}

// unlabel removes a label of namespaceVerify.
func unlabel(name, value string) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		label(t, namespaceVerify, name+"-")
		t.Cleanup(func() { label(t, namespaceVerify, name+"="+value) })
	}
}

// faults returns faults by the name of their group. Those of a group are planted together,
// because none of them hides another.
func faults() map[string][]plant {
	open := func(name, rule string) func(*testing.T) { return openEgress(namespaceVerify, name, rule) }
	proxy, resolver := shared.Plan.ProxyPrivate.String(), shared.Plan.OpenResolver.String()
	return map[string][]plant{
		"openings": {
			{"a policy that opens the internet", []string{"policy", "direct", "metadata", "outside-dns", "other-ports"}, "NetworkPolicy planted-internet", open("planted-internet", "{}")},
			{"a pod that is older than the label", []string{"pods"}, "WithoutVariables", oldPod},
			{"the address is not published", []string{"published"}, "source address is not published", changeAddresses()},
			{"the PodSecurity label is removed", []string{"policy"}, "pod-security.kubernetes.io/enforce", unlabel("pod-security.kubernetes.io/enforce", "baseline")},
			{"a guard is removed", []string{"guards"}, "own-policy.egress.scw", removeObject("validatingadmissionpolicybinding", "own-policy.egress.scw")},
		},
		"small openings": {
			{"DNS open", []string{"policy", "outside-dns"}, "answered: " + resolver + ":53", open("planted-dns", "{ports: [{port: 53, protocol: UDP}]}")},
			{"another tenant's port open", []string{"policy", "other-ports"}, proxy + ":3130 of tenant client-b", open("planted-port", "{ports: [{port: 3130}]}")},
			{"another address is published", []string{"address"}, "198.51.100.1 is published", changeAddresses("198.51.100.1")},
			{
				"an allow list that the proxy does not have",
				[]string{"proxied"},
				"serves Revision",
				changeTenant(map[string]any{"mode": "Enforce", "domains": []any{environment.HTTPBinName}}, "allow"),
			},
		},
		"a port": {{
			"a port that the proxy does not serve",
			[]string{"ready", "proxied", "request"}, // pods keep the address of the Service
			"does not answer at " + proxy + ":3200",
			changeTenant(int64(3200), "proxy", "port"),
		}},
		// The pod is refused then: the webhook's failurePolicy is Fail.
		"the webhook": {
			{"the webhook is away", []string{"ready", "pod"}, "has no ready replica", removeWebhook},
			{"the policy is deleted meanwhile", []string{"policy", "pod"}, "has no NetworkPolicy egress-scw", func(t *testing.T) {
				t.Helper()
				do(t, "--namespace="+namespaceVerify, "delete", "networkpolicy", "egress-scw")
			}},
		},
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
