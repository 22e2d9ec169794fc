package inject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// rounds is the number of pods that each property is tested with. Their seeds
// are fixed.
const rounds = 500

// exampleNeighbours are a namespace and Services of every kind.
func exampleNeighbours() *Neighbours {
	return &Neighbours{
		Namespaces: []string{"billing", "payments"},
		Services: []Service{
			{Name: "alias"}, {Name: "backend", ClusterIPs: []string{"10.32.4.20", "fd00::420"}}, {Name: "stateful", ClusterIPs: []string{"None"}},
		},
	}
}

func exampleInjection(t *testing.T) *Injection {
	t.Helper()
	cluster := exampleCluster(t)
	tenant := &v1alpha1.EgressTenant{}
	tenant.Name = "client-a"
	tenant.Spec.Proxy = &v1alpha1.TenantProxy{Port: 3129}
	tenant.Spec.Runtimes = v1alpha1.Runtimes()
	injection, err := compute(cluster, tenant, "orders", exampleNeighbours(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return injection
}

// forEachRandomPod calls the test with random pods.
func forEachRandomPod(t *testing.T, test func(t *testing.T, random *rand.Rand, raw []byte)) {
	t.Helper()
	for seed := range uint64(rounds) {
		random := rand.New(rand.NewPCG(seed, 1))
		raw := randomPod(random)
		test(t, random, raw)
		if t.Failed() {
			t.Fatalf("seed %d, pod:\n%s", seed, raw)
		}
	}
}

func randomPod(random *rand.Rand) []byte {
	spec := map[string]any{"x-unknown": map[string]any{"quantity": "0.25Gi", "none": nil}}
	for _, list := range []string{"containers", "initContainers"} {
		var containers []any
		for i := range random.IntN(3) {
			containers = append(containers, randomContainer(random, fmt.Sprintf("%s-%d", strings.ToLower(list), i)))
		}
		if containers != nil || random.IntN(2) == 0 {
			spec[list] = containers
		}
	}
	pod := map[string]any{"spec": spec, "status": map[string]any{}}
	switch random.IntN(4) {
	case 0:
	case 1:
		pod["metadata"] = nil
	case 2:
		pod["metadata"] = map[string]any{"creationTimestamp": nil, "annotations": nil}
	default:
		pod["metadata"] = map[string]any{"name": "web", "annotations": map[string]any{"team": "orders"}}
	}
	raw, err := json.Marshal(pod)
	if err != nil {
		panic(err)
	}
	return raw
}

func randomContainer(random *rand.Rand, name string) map[string]any {
	container := map[string]any{"name": name, "image": "web", "x-unknown": json.RawMessage(`[1.0,1e3,null]`)}
	switch random.IntN(6) {
	case 0:
	case 1:
		container["env"] = nil
	case 2:
		container["env"] = []any{}
	default:
		container["env"] = randomEnv(random)
	}
	return container
}

func randomEnv(random *rand.Rand) []map[string]any {
	names := []string{
		"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "OTHER", "HOST",
		envJava, envNode, envPerlMojo,
	}
	values := []string{
		"", "plain", "http://own.example:3128", "own.example,localhost", "*", "a, b,", "http://$(HOST)/", "$(OTHER)", "$$(OTHER)",
		"$(HTTP_PROXY)", "$(http_proxy)", "$(NO_PROXY),own.example", "$(no_proxy)", "$(UNKNOWN)",
		"$$(HTTP_PROXY)", "$$$(http_proxy)", "$(OTHER$(NO_PROXY)", "$(HTTP_PROXY", "-Xmx1g ", "-Dhttp.proxyHost=own.example -Dhttp.proxyPort=1", "-Dhttp.nonProxyHosts=own",
	}
	var env []map[string]any
	for range random.IntN(9) {
		variable := map[string]any{"name": names[random.IntN(len(names))], "x-unknown": true}
		switch random.IntN(8) {
		case 0:
			variable["valueFrom"] = map[string]any{"secretKeyRef": map[string]any{"name": "s", "key": "k"}}
		case 1:
		default:
			variable["value"] = values[random.IntN(len(values))]
		}
		env = append(env, variable)
	}
	return env
}

func TestSecondInjectionChangesNothing(t *testing.T) {
	injection := exampleInjection(t)
	forEachRandomPod(t, func(t *testing.T, _ *rand.Rand, raw []byte) {
		operations, warnings := operationsFor(t, mustDecode(t, raw), injection)
		again, warningsAgain := operationsFor(t, mustDecode(t, apply(t, raw, operations)), injection)
		if len(again) > 0 {
			t.Errorf("the second time: %v", again)
		}
		if diff := cmp.Diff(warnings, warningsAgain); diff != "" {
			t.Errorf("warnings of the second time (-first +second):\n%s", diff)
		}
	})
}

// TestReinvocationInjectsTheAddedContainer: another webhook adds a container
// after the injection, and the API server calls this webhook again.
func TestReinvocationInjectsTheAddedContainer(t *testing.T) {
	injection := exampleInjection(t)
	forEachRandomPod(t, func(t *testing.T, random *rand.Rand, raw []byte) {
		operations, _ := operationsFor(t, mustDecode(t, raw), injection)
		injected := tree(t, apply(t, raw, operations))

		added := randomContainer(random, "added")
		spec := injected["spec"].(map[string]any)
		containers, _ := spec["containers"].([]any)
		at := random.IntN(len(containers) + 1)
		spec["containers"] = slices.Insert(containers, at, any(added))
		between := encode(t, injected)

		operations, _ = operationsFor(t, mustDecode(t, between), injection)
		prefix := fmt.Sprintf("/spec/containers/%d/env", at)
		for _, operation := range operations {
			if !strings.HasPrefix(operation.Path, prefix) {
				t.Errorf("operation at %s, outside of %s", operation.Path, prefix)
			}
		}
		alone := encode(t, map[string]any{"spec": map[string]any{"containers": []any{added}}})
		wanted, _ := operationsFor(t, mustDecode(t, alone), injection)
		want := wholePod(t, apply(t, alone, wanted)).Spec.Containers[0]
		got := wholePod(t, apply(t, between, operations)).Spec.Containers[at]
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("added container, compared with a pod of its own (-want +got):\n%s", diff)
		}
	})
}

// TestOnlyDeclaredChanges: apart from added variables, values of NO_PROXY and
// JAVA_TOOL_OPTIONS, and the status annotation, the pod keeps its bytes and their order.
func TestOnlyDeclaredChanges(t *testing.T) {
	injection := exampleInjection(t)
	forEachRandomPod(t, func(t *testing.T, _ *rand.Rand, raw []byte) {
		operations, _ := operationsFor(t, mustDecode(t, raw), injection)
		for _, operation := range operations {
			if operation.Operation != "add" {
				t.Errorf("operation %q at %s", operation.Operation, operation.Path)
			}
		}
		patched := apply(t, raw, operations)
		if got := mustDecode(t, patched).Annotations()[names.AnnotationStatus]; got != injection.Status {
			t.Errorf("status is %s", got)
		}
		if diff := cmp.Diff(withoutInjected(t, raw), withoutInjected(t, patched)); diff != "" {
			t.Errorf("changed beyond what is declared (-before +after):\n%s", diff)
		}
		pod, after := wholePod(t, raw), wholePod(t, patched)
		for i := range pod.Spec.Containers {
			compareOrder(t, pod.Spec.Containers[i].Env, after.Spec.Containers[i].Env)
		}
		for i := range pod.Spec.InitContainers {
			compareOrder(t, pod.Spec.InitContainers[i].Env, after.Spec.InitContainers[i].Env)
		}
	})
}

// compareOrder demands that the new environment consists of added variables, the
// old environment, and added variables.
func compareOrder(t *testing.T, before, after []corev1.EnvVar) {
	t.Helper()
	isOurs := func(name string) bool { return knownVariable([]byte(name)) != "" }
	same := func(a, b corev1.EnvVar) bool {
		mayDiffer := strings.EqualFold(a.Name, "NO_PROXY") || a.Name == envJava
		return a.Name == b.Name && (a.ValueFrom == nil) == (b.ValueFrom == nil) && (a.Value == b.Value || mayDiffer)
	}
	for front := range len(after) - len(before) + 1 {
		if !slices.EqualFunc(before, after[front:front+len(before)], same) {
			continue
		}
		for _, added := range slices.Concat(after[:front], after[front+len(before):]) {
			if !isOurs(added.Name) {
				t.Errorf("variable %s was added", added.Name)
			}
		}
		return
	}
	t.Errorf("the container's own variables are not as they were:\nbefore %v\nafter  %v", before, after)
}

// withoutInjected returns the pod without the fields that injection may change.
// Numbers keep their spelling.
func withoutInjected(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	pod := tree(t, raw)
	if metadata, ok := pod["metadata"].(map[string]any); ok {
		if annotations, ok := metadata["annotations"].(map[string]any); ok {
			delete(annotations, names.AnnotationStatus)
			if len(annotations) == 0 {
				delete(metadata, "annotations")
			}
		}
		if metadata["annotations"] == nil {
			delete(metadata, "annotations")
		}
		if len(metadata) == 0 {
			delete(pod, "metadata")
		}
	}
	if pod["metadata"] == nil {
		delete(pod, "metadata")
	}
	for _, list := range []string{"containers", "initContainers"} {
		containers, _ := pod["spec"].(map[string]any)[list].([]any)
		for _, container := range containers {
			delete(container.(map[string]any), "env")
		}
	}
	return pod
}

// TestEffectiveValues checks the values that the processes of a container see.
func TestEffectiveValues(t *testing.T) {
	injection := exampleInjection(t)
	forEachRandomPod(t, func(t *testing.T, _ *rand.Rand, raw []byte) {
		operations, warnings := operationsFor(t, mustDecode(t, raw), injection)
		before, after := wholePod(t, raw), wholePod(t, apply(t, raw, operations))
		for i := range before.Spec.Containers {
			checkEffective(t, injection, before.Spec.Containers[i], after.Spec.Containers[i].Env, warnings)
		}
	})
}

func checkEffective(t *testing.T, injection *Injection, before corev1.Container, after []corev1.EnvVar, warnings []string) {
	t.Helper()
	values := kubeletValues(after)
	checkRuntimes(t, injection, before, after)
	for _, names := range [][2]string{{"HTTP_PROXY", "http_proxy"}, {"HTTPS_PROXY", "https_proxy"}, {"NO_PROXY", "no_proxy"}} {
		upper, lower := lastOf(before.Env, names[0]), lastOf(before.Env, names[1])
		switch {
		case upper == nil && lower == nil:
			want := injection.ProxyURL
			if names[0] == "NO_PROXY" {
				want = strings.Join(injection.NoProxy, ",")
			}
			if values[names[0]] != want || values[names[1]] != want {
				t.Errorf("%s of %s is %q and %q, not ours", names[0], before.Name, values[names[0]], values[names[1]])
			}
		case isFrom(upper) || isFrom(lower):
			named := func(warning string) bool {
				return strings.Contains(warning, before.Name) && strings.Contains(warning, names[0])
			}
			if !slices.ContainsFunc(warnings, named) {
				t.Errorf("no warning about %s of %s in %q", names[0], before.Name, warnings)
			}
			for _, name := range names {
				if got := lastOf(after, name); !cmp.Equal(got, lastOf(before.Env, name)) {
					t.Errorf("%s of %s was touched: %v", name, before.Name, got)
				}
			}
		case upper == nil:
			checkMissing(t, values, *lower, names[0], injection)
		case lower == nil:
			checkMissing(t, values, *upper, names[1], injection)
		}
		for _, own := range []*corev1.EnvVar{upper, lower} {
			if own != nil && !isFrom(upper) && !isFrom(lower) {
				checkOwn(t, values[own.Name], *own, lastOf(after, own.Name), injection)
			}
		}
	}
}

// checkRuntimes demands that the variables of runtimes have the container's own value,
// or else the injected one. JAVA_TOOL_OPTIONS has the injected properties as well,
// each once.
func checkRuntimes(t *testing.T, injection *Injection, before corev1.Container, after []corev1.EnvVar) {
	t.Helper()
	for _, name := range []string{envJava, envNode, envPerlLWP, envPerlMojo} {
		own, got := lastOf(before.Env, name), lastOf(after, name)
		switch {
		case own == nil && name == envJava:
			if got == nil || got.Value != addJavaOptions("", injection.runtimes.javaOptions) {
				t.Errorf("%s of %s is %v", name, before.Name, got)
			}
		case own == nil:
			if got == nil || got.Value != "1" {
				t.Errorf("%s of %s is %v", name, before.Name, got)
			}
		case isFrom(own), name != envJava:
			if !cmp.Equal(own, got) {
				t.Errorf("%s of %s was %v and is %v", name, before.Name, own, got)
			}
		default:
			if !strings.HasPrefix(got.Value, strings.TrimSpace(own.Value)) {
				t.Errorf("%s of %s was %q and is %q", name, before.Name, own.Value, got.Value)
			}
			for _, property := range []string{javaHTTPHost, javaHTTPPort, javaHTTPSHost, javaHTTPSPort, javaNonProxyHosts} {
				if strings.Count(got.Value, property) != 1 {
					t.Errorf("%s of %s does not have one %s: %q", name, before.Name, property, got.Value)
				}
			}
		}
	}
}

// checkMissing demands that the missing spelling has the value of the other one,
// or the injected value if the other one refers to it.
func checkMissing(t *testing.T, values map[string]string, own corev1.EnvVar, missing string, injection *Injection) {
	t.Helper()
	want := values[own.Name]
	if isReference(own.Value, missing) {
		want = injection.ProxyURL
		if strings.EqualFold(missing, "NO_PROXY") {
			want = strings.Join(injection.NoProxy, ",")
		}
	}
	if values[missing] != want {
		t.Errorf("%s is %q, want %q, as %s is %q", missing, values[missing], want, own.Name, own.Value)
	}
}

// isReference reports whether the kubelet would put the variable into the value.
func isReference(value, variable string) bool {
	const put = "\x00"
	return strings.Contains(kubeletValues([]corev1.EnvVar{{Name: variable, Value: put}, {Name: "other", Value: value}})["other"], put)
}

// checkOwn demands that a container keeps its own value. Only entries of
// NO_PROXY may be added at its end.
func checkOwn(t *testing.T, effective string, before corev1.EnvVar, after *corev1.EnvVar, injection *Injection) {
	t.Helper()
	if !strings.EqualFold(before.Name, "NO_PROXY") {
		if after.Value != before.Value {
			t.Errorf("%s became %q", before.Name, after.Value)
		}
		return
	}
	if !strings.HasPrefix(after.Value, strings.TrimRight(before.Value, ", ")) {
		t.Errorf("%s=%q became %q", before.Name, before.Value, after.Value)
	}
	if before.Value == "*" || strings.Contains(before.Value, "$(") {
		return // all hosts already, or another variable's value
	}
	for _, entry := range injection.NoProxy {
		if !slices.Contains(strings.Split(strings.ReplaceAll(effective, " ", ""), ","), entry) {
			t.Errorf("%s=%q lacks %s", before.Name, effective, entry)
		}
	}
}

func isFrom(variable *corev1.EnvVar) bool { return variable != nil && variable.ValueFrom != nil }

func lastOf(env []corev1.EnvVar, name string) *corev1.EnvVar {
	for _, variable := range slices.Backward(env) {
		if variable.Name == name {
			return &variable
		}
	}
	return nil
}

// kubeletValues returns the values that a container sees: a reference is replaced
// if its variable was defined before and stays otherwise, "$$" escapes, and the
// last variable of a name wins.
func kubeletValues(env []corev1.EnvVar) map[string]string {
	values := make(map[string]string)
	for _, variable := range env {
		if variable.ValueFrom != nil {
			values[variable.Name] = "from elsewhere"
			continue
		}
		var value strings.Builder
		for rest := variable.Value; rest != ""; {
			switch name, after, closed := strings.Cut(strings.TrimPrefix(rest, "$("), ")"); {
			case strings.HasPrefix(rest, "$$"):
				value.WriteByte('$')
				rest = rest[2:]
			case strings.HasPrefix(rest, "$(") && closed:
				if known, ok := values[name]; ok {
					value.WriteString(known)
				} else {
					value.WriteString("$(" + name + ")")
				}
				rest = after
			default:
				value.WriteByte(rest[0])
				rest = rest[1:]
			}
		}
		values[variable.Name] = value.String()
	}
	return values
}

// TestUnknownFieldsSurvive: fields that the types do not have, and spellings of
// values that a typed pod would change, survive byte for byte.
func TestUnknownFieldsSurvive(t *testing.T) {
	raw := []byte(`{"apiVersion":"v1","kind":"Pod",` +
		`"metadata":{"creationTimestamp":null,"name":"web","annotations":{"a":"\u003cb\u003e"},"x-new":{"z":1,"a":[]}},` +
		`"spec":{"x-new":[{"deep":{"b":1.50,"a":1E2}}],"containers":[` +
		`{"name":"web","env":[],"resources":{"limits":{"memory":"0.25Gi","cpu":1.0}},"x-new":{"y":null,"b":"\u00fc"}},` +
		`{"x-first":1,"name":"two","env":[{"x-new":[3,1],"name":"A","value":"1"},{"name":"NO_PROXY","x-new":{"q":"0.5Gi"},"value":"own.example"}]}]},` +
		`"status":{"x":1e0}}`)
	operations, _ := operationsFor(t, mustDecode(t, raw), exampleInjection(t))
	patched := apply(t, raw, operations)
	for _, kept := range []string{
		`"creationTimestamp":null`, `"a":"\u003cb\u003e"`, `{"z":1,"a":[]}`, `[{"deep":{"b":1.50,"a":1E2}}]`,
		`{"limits":{"memory":"0.25Gi","cpu":1.0}}`, `{"y":null,"b":"\u00fc"}`, `"x-first":1`, `[3,1]`, `{"q":"0.5Gi"}`, `{"x":1e0}`,
	} {
		if !bytes.Contains(patched, []byte(kept)) {
			t.Errorf("%s did not survive in\n%s", kept, patched)
		}
	}
}

// wholePod decodes a pod with all variables, of which Pod has only some.
func wholePod(t *testing.T, raw []byte) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	if err := json.Unmarshal(raw, pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// tree decodes JSON. Numbers keep their spelling.
func tree(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value map[string]any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	raw, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
