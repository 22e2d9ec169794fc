package inject

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// otherInjection is the injection of another tenant, with other entries.
func otherInjection(t *testing.T) *Injection {
	t.Helper()
	tenant := &v1alpha1.EgressTenant{}
	tenant.Name = "client-b"
	tenant.Spec.Proxy = &v1alpha1.TenantProxy{Port: 3130}
	tenant.Spec.NoProxy, tenant.Spec.Runtimes = []string{"former.example", "192.0.2.0/24"}, v1alpha1.Runtimes()
	injection, err := compute(exampleCluster(t), tenant, "billing", &Neighbours{Services: []Service{{Name: "former", ClusterIPs: []string{"10.32.9.9"}}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return injection
}

// withPlain adds a container without variables of its own.
func withPlain(t *testing.T, raw []byte) []byte {
	t.Helper()
	pod := tree(t, raw)
	spec := pod["spec"].(map[string]any)
	containers, _ := spec["containers"].([]any)
	spec["containers"] = append(containers, map[string]any{"name": "plain"})
	return encode(t, pod)
}

// formerRoutes are injections that a pod may have had: of another tenant by the proxy's
// address, and of the same and of another tenant by a Service.
func formerRoutes(t *testing.T) map[string]*Injection {
	t.Helper()
	routes := map[string]*Injection{"another tenant": otherInjection(t)}
	for name, address := range map[string]string{"client-a": "10.32.4.99", "client-b": "10.32.4.32"} {
		tenant := withService(&v1alpha1.EgressTenant{}, address)
		tenant.Name, tenant.Spec.Proxy, tenant.Spec.Runtimes = name, &v1alpha1.TenantProxy{Port: 3130}, v1alpha1.Runtimes()
		injection, err := compute(exampleCluster(t), tenant, "billing", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(injection.runtimes.java.encoded, address) {
			t.Errorf("the options of Java lack %s: %s", address, injection.runtimes.java.encoded)
		}
		routes["the Service of "+name] = injection
	}
	return routes
}

// TestInjectedElsewhere: a pod that was injected in the namespace of another tenant, or
// with another address of the proxy, gets what it would have got without that.
func TestInjectedElsewhere(t *testing.T) {
	for name, former := range formerRoutes(t) {
		t.Run(name, func(t *testing.T) { checkInjectedElsewhere(t, former, exampleInjection(t)) })
	}
}

func checkInjectedElsewhere(t *testing.T, former, injection *Injection) {
	t.Helper()
	forEachRandomPod(t, func(t *testing.T, _ *rand.Rand, raw []byte) {
		raw = withPlain(t, raw)
		operations, _ := operationsFor(t, mustDecode(t, raw), former)
		elsewhere := apply(t, raw, operations)
		operations, _ = operationsFor(t, mustDecode(t, elsewhere), injection)
		got := apply(t, elsewhere, operations)
		operations, _ = operationsFor(t, mustDecode(t, raw), injection)
		want := apply(t, raw, operations)
		if diff := cmp.Diff(wholePod(t, want), wholePod(t, got)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// TestStatusIsNoEvidence: a status of another injection changes nothing about the
// values of a pod that does not have the values of that injection.
func TestStatusIsNoEvidence(t *testing.T) {
	former, injection := otherInjection(t), exampleInjection(t)
	forEachRandomPod(t, func(t *testing.T, _ *rand.Rand, raw []byte) {
		pod := tree(t, raw)
		pod["metadata"] = map[string]any{"annotations": map[string]any{names.AnnotationStatus: former.Status}}
		forged := encode(t, pod)
		operations, _ := operationsFor(t, mustDecode(t, forged), injection)
		got := apply(t, forged, operations)
		operations, _ = operationsFor(t, mustDecode(t, raw), injection)
		want := apply(t, raw, operations)
		if diff := cmp.Diff(wholePod(t, want).Spec, wholePod(t, got).Spec); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// appliedAgain returns the injected pod with the values of NO_PROXY and
// JAVA_TOOL_OPTIONS that its manifest has.
func appliedAgain(t *testing.T, manifest, injected []byte, change string) []byte {
	t.Helper()
	pod := tree(t, injected)
	values := make(map[string]map[string][]any) // by container and variable
	visit := func(raw map[string]any, each func(container string, variable map[string]any)) {
		for _, list := range []string{"initContainers", "containers"} {
			containers, _ := raw["spec"].(map[string]any)[list].([]any)
			for _, c := range containers {
				container := c.(map[string]any)
				env, _ := container["env"].([]any)
				for _, v := range env {
					variable := v.(map[string]any)
					if name := variable["name"].(string); strings.EqualFold(name, "NO_PROXY") || name == envJava {
						each(list+container["name"].(string), variable)
					}
				}
			}
		}
	}
	visit(tree(t, manifest), func(container string, variable map[string]any) {
		if values[container] == nil {
			values[container] = make(map[string][]any)
		}
		name := variable["name"].(string)
		values[container][name] = append(values[container][name], variable["value"])
	})
	visit(pod, func(container string, variable map[string]any) {
		rest := values[container][variable["name"].(string)]
		if len(rest) == 0 {
			return // injected
		}
		values[container][variable["name"].(string)] = rest[1:]
		delete(variable, "value")
		text, ok := rest[0].(string)
		if ok || change != "" {
			variable["value"] = change + text
		}
	})
	return encode(t, pod)
}

// TestAppliedAgain: a manifest that is applied again leaves the pod as it is, also
// when the pod was injected under another configuration.
func TestAppliedAgain(t *testing.T) {
	restored := 0
	for _, then := range []*Injection{exampleInjection(t), otherInjection(t)} {
		now := exampleInjection(t)
		forEachRandomPod(t, func(t *testing.T, _ *rand.Rand, raw []byte) {
			raw = withPlain(t, raw)
			operations, _ := operationsFor(t, mustDecode(t, raw), then)
			injected := apply(t, raw, operations)
			again := appliedAgain(t, raw, injected, "")
			operations = operationsOf(t, NewUpdatePatch(mustDecode(t, again), mustDecode(t, injected), now, nil))
			if diff := cmp.Diff(wholePod(t, injected), wholePod(t, apply(t, again, operations))); diff != "" {
				t.Errorf("-injected +applied again\n%s", diff)
			}
			restored += len(operations)
		})
	}
	if restored < rounds/2 {
		t.Errorf("only %d values were restored", restored)
	}
}

// TestAppliedAgainAfterChanges: the same, when Services and namespaces have come and
// gone since, and also if no container has all of the injected values.
func TestAppliedAgainAfterChanges(t *testing.T) {
	then, now := exampleInjection(t), withNeighbours(t, &Neighbours{
		Namespaces: []string{"new", "payments"}, Services: []Service{{Name: "added", ClusterIPs: []string{"10.32.4.21"}}, {Name: "backend", ClusterIPs: []string{"10.32.4.99"}}},
	})
	for name, container := range map[string]string{
		"own":   `{"name":"web","env":[{"name":"NO_PROXY","value":"mine.example"},{"name":"no_proxy","value":"$(NO_PROXY)"},{"name":"JAVA_TOOL_OPTIONS","value":"-Xmx1g"}]}`,
		"empty": `{"name":"web","env":[{"name":"NO_PROXY"}]}`,
	} {
		raw := []byte(`{"spec":{"containers":[` + container + `]}}`)
		operations, _ := operationsFor(t, mustDecode(t, raw), then)
		injected := apply(t, raw, operations)
		again := appliedAgain(t, raw, injected, "")
		operations = operationsOf(t, NewUpdatePatch(mustDecode(t, again), mustDecode(t, injected), now, nil))
		if diff := cmp.Diff(wholePod(t, injected), wholePod(t, apply(t, again, operations))); diff != "" || len(operations) == 0 {
			t.Errorf("%s: %d operations, -injected +applied again\n%s", name, len(operations), diff)
		}
	}
}

// TestOutdatedNeighboursAreReplaced: a pod that is created again in its namespace gets
// the present Services, and loses the former ones.
func TestOutdatedNeighboursAreReplaced(t *testing.T) {
	then, now := exampleInjection(t), withNeighbours(t, &Neighbours{Services: []Service{{Name: "added", ClusterIPs: []string{"10.32.4.21"}}}})
	raw := []byte(`{"spec":{"containers":[{"name":"web"},{"name":"own","env":[{"name":"NO_PROXY","value":"mine.example"}]}]}}`)
	operations, _ := operationsFor(t, mustDecode(t, raw), then)
	restored := apply(t, raw, operations)
	operations, _ = operationsFor(t, mustDecode(t, restored), now)
	got := apply(t, restored, operations)
	operations, _ = operationsFor(t, mustDecode(t, raw), now)
	want := apply(t, raw, operations)
	if diff := cmp.Diff(wholePod(t, want), wholePod(t, got)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestUpdateKeepsOwnChanges: a value of NO_PROXY that the manifest changes is left,
// so that the API server refuses the change as without the webhook.
func TestUpdateKeepsOwnChanges(t *testing.T) {
	injection := exampleInjection(t)
	forEachRandomPod(t, func(t *testing.T, _ *rand.Rand, raw []byte) {
		operations, _ := operationsFor(t, mustDecode(t, raw), injection)
		injected := apply(t, raw, operations)
		again := appliedAgain(t, raw, injected, "changed.example,")
		if operations := operationsOf(t, NewUpdatePatch(mustDecode(t, again), mustDecode(t, injected), injection, nil)); len(operations) > 0 {
			t.Errorf("restored: %v", operations)
		}
	})
}

// TestFormerIsBounded: pods with many values are compared in bounded time.
func TestFormerIsBounded(t *testing.T) {
	status, err := json.Marshal(names.InjectionStatus{Values: "0000000000000000"})
	if err != nil {
		t.Fatal(err)
	}
	pod := &Pod{Metadata: &Metadata{Annotations: annotations{
		names.AnnotationStatus: string(status), names.AnnotationNoProxy: strings.Repeat("a,", 1<<20),
	}}}
	for i := range maxContainers {
		value := strings.Repeat(",", i+1)
		pod.Spec.Containers = append(pod.Spec.Containers, Container{Env: Env{{Name: envHTTPProxy, Value: value}, {Name: envNoProxy, Value: value}}})
	}
	if formerOf(pod, exampleInjection(t)) != nil {
		t.Error("values without evidence are taken for former ones")
	}
}
