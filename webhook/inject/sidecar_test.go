package inject

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gomodules.xyz/jsonpatch/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

// sidecarInjection is that of a tenant with the sidecar and capture.
func sidecarInjection(t *testing.T, changes ...func(*v1alpha1.EgressTenantSpec)) *Injection {
	t.Helper()
	s := exampleSettings()
	s.Proxy.Identity = v1alpha1.IdentityOffered
	s.Proxy.Machines = []settings.Machine{{Address: s.Proxy.Addresses[0], Certificate: "certificate"}}
	s.Sidecar.Image = "registry.example/egress-sidecar:v1.2.3"
	s.DNS.Closed = &settings.ClosedDNS{Address: netip.MustParseAddr("10.32.0.11")}
	cluster, err := NewCluster(s, mustParseEntry(t, "10.32.0.1"), "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	tenant := &v1alpha1.EgressTenant{}
	tenant.Name = "client-a"
	tenant.Spec.Proxy = &v1alpha1.TenantProxy{Port: 3129}
	tenant.Spec.Sidecar = &v1alpha1.Sidecar{Capture: v1alpha1.CaptureNames}
	for _, change := range changes {
		change(&tenant.Spec)
	}
	injection, err := compute(cluster, tenant, "orders", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return injection
}

func sidecarOperations(t *testing.T, raw []byte, injection *Injection) []jsonpatch.Operation {
	t.Helper()
	pod := mustDecode(t, raw)
	if err := injection.Examine(pod, raw); err != nil {
		t.Fatal(err)
	}
	return operationsOf(t, NewPatch(pod, injection, nil))
}

// randomPodForSidecar is a random pod that has containers, and some of the settings
// that the sidecar changes.
func randomPodForSidecar(t *testing.T, random *rand.Rand, raw []byte) []byte {
	t.Helper()
	pod := tree(t, raw)
	spec := pod["spec"].(map[string]any)
	spec["containers"] = []any{randomContainer(random, "web")}
	one := func(values ...any) any { return values[random.IntN(len(values))] }
	fields := map[string]any{
		"dnsPolicy": one("ClusterFirst", "Default", "None", "ClusterFirstWithHostNet"),
		"dnsConfig": one(nil, map[string]any{}, map[string]any{"nameservers": []any{"192.0.2.1"}, "x-unknown": 1},
			map[string]any{"searches": []any{"example.com", "svc.cluster.local", "other.svc.cluster.local"}, "options": []any{}},
			map[string]any{"nameservers": nil, "options": []any{map[string]any{"name": "ndots", "value": "1"}, map[string]any{"name": "timeout", "value": "1"}}}),
		"securityContext": one(nil, map[string]any{}, map[string]any{"runAsNonRoot": true, "sysctls": nil},
			map[string]any{"sysctls": []any{map[string]any{"name": "net.ipv4.tcp_syncookies", "value": "1"}}},
			map[string]any{"sysctls": []any{map[string]any{"name": sysctlPortStart, "value": "10"}}}),
		"resources": one(nil, map[string]any{}, map[string]any{"requests": map[string]any{"memory": "64Mi"}, "limits": map[string]any{"cpu": "1", "memory": "0.5Gi"}}),
		"volumes":   one(nil, []any{}, []any{map[string]any{"name": "data", "emptyDir": map[string]any{}, "x-unknown": []any{1}}}),
	}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if random.IntN(3) > 0 {
			spec[field] = fields[field]
		}
	}
	return encode(t, pod)
}

func forEachSidecarPod(t *testing.T, test func(t *testing.T, random *rand.Rand, raw []byte)) {
	t.Helper()
	forEachRandomPod(t, func(t *testing.T, random *rand.Rand, raw []byte) {
		test(t, random, randomPodForSidecar(t, random, raw))
	})
}

// stored is the pod as the API server returns it after the patch: typed, and with
// defaults and the additions of other admission controllers.
func stored(t *testing.T, raw []byte) []byte {
	t.Helper()
	pod := wholePod(t, raw)
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			container := &list[i]
			container.TerminationMessagePath, container.TerminationMessagePolicy = "/dev/termination-log", "File"
			container.ImagePullPolicy = corev1.PullIfNotPresent
			container.VolumeMounts = append(container.VolumeMounts, corev1.VolumeMount{Name: "kube-api-access", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"})
			if container.Resources.Limits == nil {
				container.Resources.Limits = corev1.ResourceList{}
			}
			if _, limited := container.Resources.Limits[corev1.ResourceCPU]; !limited {
				container.Resources.Limits[corev1.ResourceCPU] = resource.MustParse("1") // of a LimitRange
			}
			if container.StartupProbe != nil {
				container.StartupProbe.SuccessThreshold = 1
			}
		}
	}
	for i := range pod.Spec.Volumes {
		if secret := pod.Spec.Volumes[i].Secret; secret != nil {
			secret.DefaultMode = new(int32(420))
		}
	}
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "kube-api-access"})
	return encode(t, pod)
}

// TestSidecarTwiceChangesNothing: the API server calls the webhook again after another
// one has changed the pod, and pods are copied from running ones.
func TestSidecarTwiceChangesNothing(t *testing.T) {
	for _, injection := range []*Injection{
		sidecarInjection(t),
		sidecarInjection(t, func(s *v1alpha1.EgressTenantSpec) {
			s.Sidecar.Resources.Requests.CPU = "0.25"
			s.Sidecar.Capture, s.DNS = v1alpha1.CaptureNone, v1alpha1.DNSClosed
		}),
	} {
		forEachSidecarPod(t, func(t *testing.T, _ *rand.Rand, raw []byte) {
			injected := apply(t, raw, sidecarOperations(t, raw, injection))
			if again := sidecarOperations(t, injected, injection); len(again) > 0 {
				t.Errorf("the second time: %v", again)
			}
			if again := sidecarOperations(t, stored(t, injected), injection); len(again) > 0 {
				t.Errorf("as the API server stores it: %v", again)
			}
		})
	}
}

// TestSidecarIsFirst: it starts before all other containers, also if the client sent
// another one of its name, or if another webhook puts its own before it.
func TestSidecarIsFirst(t *testing.T) {
	injection := sidecarInjection(t)
	want := decodeJSON([]byte(injection.sidecar.container.encoded))
	forEachSidecarPod(t, func(t *testing.T, random *rand.Rand, raw []byte) {
		others := initContainers(tree(t, raw))
		check := func(raw []byte) []byte {
			t.Helper()
			patched := apply(t, raw, sidecarOperations(t, raw, injection))
			got := initContainers(tree(t, patched))
			if len(got) != len(others)+1 || !contains(decodeJSON(encode(t, got[0])), want) {
				t.Fatalf("init containers are %v", got)
			}
			for i, other := range others {
				if name := got[i+1].(map[string]any)["name"]; name != other.(map[string]any)["name"] {
					t.Errorf("init container %d is %v", i+1, name)
				}
			}
			return patched
		}
		injected := check(raw)

		before := tree(t, injected)
		before["spec"].(map[string]any)["initContainers"] = slices.Insert(initContainers(before), 0, any(randomContainer(random, "before")))
		others = slices.Insert(others, 0, any(map[string]any{"name": "before"}))
		check(encode(t, before))

		others = others[1:]
		forged := tree(t, injected)
		container := initContainers(forged)[0].(map[string]any)
		fields := []string{"image", "command", "restartPolicy", "env", "resources", "volumeMounts", "startupProbe", "securityContext"}
		switch field := fields[random.IntN(len(fields))]; random.IntN(2) {
		case 0:
			delete(container, field)
		default:
			container[field] = nil
		}
		check(encode(t, forged))
	})
}

func initContainers(pod map[string]any) []any {
	containers, _ := pod["spec"].(map[string]any)["initContainers"].([]any)
	return containers
}

// TestSidecarChangesOnlyItsSettings: everything else of the pod keeps its value.
func TestSidecarChangesOnlyItsSettings(t *testing.T) {
	injection := sidecarInjection(t)
	forEachSidecarPod(t, func(t *testing.T, _ *rand.Rand, raw []byte) {
		want, got := tree(t, raw), withoutInjected(t, apply(t, raw, sidecarOperations(t, raw, injection)))
		want = withoutInjected(t, encode(t, want))
		for _, pod := range []map[string]any{want, got} {
			spec := pod["spec"].(map[string]any)
			spec["initContainers"] = withoutSidecar(spec["initContainers"])
			spec["volumes"] = withoutSidecar(spec["volumes"])
			delete(spec, "dnsPolicy")
			for field, ours := range map[string][]string{"dnsConfig": {"nameservers", "searches", "options"}, "securityContext": {"sysctls"}, "resources": {"requests", "limits"}} {
				object, _ := spec[field].(map[string]any)
				for _, name := range ours {
					delete(object, name)
				}
				if len(object) == 0 {
					delete(spec, field)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the rest of the pod (-before +after):\n%s", diff)
		}
	})
}

// withoutSidecar returns a list without the element of the sidecar, nil for an empty
// list.
func withoutSidecar(list any) []any {
	items, _ := list.([]any)
	var rest []any
	for _, item := range items {
		if item.(map[string]any)["name"] != names.SidecarName {
			rest = append(rest, item)
		}
	}
	return rest
}

// TestSidecarIsRestricted: the container has what Pod Security Standard restricted
// demands of each container.
func TestSidecarIsRestricted(t *testing.T) {
	var container corev1.Container
	decoder := json.NewDecoder(strings.NewReader(sidecarInjection(t).sidecar.container.encoded))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&container); err != nil {
		t.Fatal(err)
	}
	security := container.SecurityContext
	if *security.AllowPrivilegeEscalation || !*security.RunAsNonRoot || *security.RunAsUser == 0 || !*security.ReadOnlyRootFilesystem ||
		security.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || !slices.Equal(security.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("securityContext is %+v", security)
	}
	if *container.RestartPolicy != corev1.ContainerRestartPolicyAlways || container.Lifecycle != nil {
		t.Errorf("it is no native sidecar, or has hooks: preStop runs while the applications still do: %+v", container)
	}
	limit := container.Resources.Limits.Memory().Value()
	for _, variable := range container.Env {
		if variable.Name == "GOMEMLIMIT" {
			if variable.Value != "50331600" || limit != 64<<20 {
				t.Errorf("GOMEMLIMIT is %s with a limit of %d", variable.Value, limit)
			}
			return
		}
	}
	t.Error("no GOMEMLIMIT")
}

// TestDetailsBoundMemory: only the elements with the name of the sidecar are kept, and
// only up to a bound.
func TestDetailsBoundMemory(t *testing.T) {
	long := strings.Repeat("x", maxRawValue)
	raw := []byte(`{"spec":{"volumes":[{"name":"a","x":"` + long + `"},{"name":"egress-sidecar","x":"` + long + `"}],"initContainers":[{"name":"egress\u002dsidecar"}]}}`)
	pod := mustDecode(t, raw)
	if err := pod.ReadDetails(raw); err != nil {
		t.Fatal(err)
	}
	details := pod.details
	if v := details.volumes; !v.exists() || v.index != 1 || v.json != nil {
		t.Errorf("volume %d, of %d bytes", v.index, len(v.json))
	}
	if c := details.initContainers; !c.exists() || c.index != 0 {
		t.Errorf("init container %d: a name with an escape is not found", c.index)
	}
	for field, problem := range map[string]string{
		`"dnsConfig":{"nameservers":["` + long + `"]}`: "spec.dnsConfig is longer than 65536 bytes",
		`"securityContext":{"sysctls":{}}`:             "spec.securityContext.sysctls cannot be read: Kubernetes has another type for it",
		`"resources":{"limits":{"cpu":"much"}}`:        "spec.resources.limits.cpu cannot be read: ",
		`"resources":{"requests":{"cpu":"1e100"}}`:     "spec.resources.requests.cpu cannot be read: its exponent has more than two digits",
		`"resources":{"limits":{"memory":1.5E+0999}}`:  "spec.resources.limits.memory cannot be read: its exponent has more than two digits",
		`"resources":{"limits":{"pods":"1e-999999"}}`:  "spec.resources.limits.pods cannot be read: its exponent has more than two digits",
		`"hostNetwork":"yes"`:                          "the pod cannot be read",
		`"dnsPolicy":"None","dnsPolicy":"Default"`:     "the pod cannot be read",
	} {
		raw := []byte(`{"spec":{` + field + `}}`)
		if err := mustDecode(t, raw).ReadDetails(raw); err == nil || !strings.HasPrefix(err.Error(), problem) {
			t.Errorf("error is %v, want %q", err, problem)
		}
	}
}

// TestLargeAmounts: the sum of a large amount and that of the sidecar is calculated in
// no time.
func TestLargeAmounts(t *testing.T) {
	injection := sidecarInjection(t)
	for text, want := range map[string]bool{"1e30000000": false, "1e1000": false, "1e+99": true, "9223372036854775807": true, "8E": true, "1e3": true} {
		raw := []byte(`{"spec":{"resources":{"limits":{"cpu":"` + text + `"}},"containers":[{"name":"web"}]}}`)
		pod := mustDecode(t, raw)
		withinUsual(t, func() {
			if err := injection.Examine(pod, raw); (err == nil) != want {
				t.Errorf("%s: error is %v", text, err)
			} else if err == nil {
				NewPatch(pod, injection, nil)
			}
		})
	}
}
