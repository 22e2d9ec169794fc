package admission

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// podSize describes a pod of a benchmark.
type podSize struct {
	name                       string
	containers, initContainers int
	variables                  int     // of each container
	bytes                      int     // of its JSON, about
	maxRatio                   float64 // of the time for an answer to the floor's
}

// podSizes are the pods of the benchmarks: the smallest, a typical and a large one.
func podSizes() []podSize {
	return []podSize{
		{"1-container", 1, 0, 2, 4000, 0.35},
		typicalPod(),
		{"10-containers", 10, 0, 15, 40000, 0.20},
	}
}

func typicalPod() podSize { return podSize{"typical", 2, 1, 1, 6000, 0.28} }

// realisticPod is a pod as a kube-apiserver sends it when the ReplicaSet of a
// Deployment creates it: defaulted, with managed fields, and the volume and
// tolerations that admission adds before webhooks are called.
func realisticPod(t testing.TB, size podSize) string {
	t.Helper()
	yes := true
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"},
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "checkout-7c9d8f6b5d-",
			Labels: map[string]string{
				"app.kubernetes.io/name": "checkout", "app.kubernetes.io/part-of": "shop", "pod-template-hash": "7c9d8f6b5d",
			},
			Annotations: map[string]string{
				"prometheus.io/scrape": "true",
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "checkout-7c9d8f6b5d", UID: "3f4e5d6c-7b8a-4c9d-8e0f-1a2b3c4d5e6f",
				Controller: &yes, BlockOwnerDeletion: &yes,
			}},
		},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyAlways, DNSPolicy: corev1.DNSClusterFirst, SchedulerName: corev1.DefaultSchedulerName,
			ServiceAccountName: "checkout", DeprecatedServiceAccount: "checkout", EnableServiceLinks: &yes,
			TerminationGracePeriodSeconds: new(int64(30)), Priority: new(int32(0)),
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Tolerations: []corev1.Toleration{
				{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(300))},
				{Key: corev1.TaintNodeUnreachable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: new(int64(300))},
			},
			Volumes: []corev1.Volume{tokenVolume()},
		},
		Status: corev1.PodStatus{},
	}
	for i := range size.initContainers {
		container := realisticContainer(fmt.Sprintf("init-%d", i), size.variables)
		container.ReadinessProbe, container.Ports = nil, nil
		pod.Spec.InitContainers = append(pod.Spec.InitContainers, container)
	}
	for i := range size.containers {
		pod.Spec.Containers = append(pod.Spec.Containers, realisticContainer(fmt.Sprintf("app-%d", i), size.variables))
	}
	pod.ManagedFields = managedFields(t, pod)
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func realisticContainer(name string, variables int) corev1.Container {
	no := false
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{
			ProbeHandler:   corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http"), Scheme: corev1.URISchemeHTTP}},
			TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3,
		}
	}
	return corev1.Container{
		Name:  name,
		Image: "rg.fr-par.scw.cloud/shop/checkout:1.42.0",
		Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		Env:   realisticEnv(variables),
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		},
		ReadinessProbe: probe("/readyz"),
		VolumeMounts: []corev1.VolumeMount{
			{Name: "kube-api-access-x7k2p", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true},
		},
		TerminationMessagePath: corev1.TerminationMessagePathDefault, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		ImagePullPolicy: corev1.PullIfNotPresent,
		SecurityContext: &corev1.SecurityContext{
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, AllowPrivilegeEscalation: &no,
		},
	}
}

// realisticEnv takes every fourth value from a Secret.
func realisticEnv(variables int) []corev1.EnvVar {
	var env []corev1.EnvVar
	for i := range variables {
		variable := corev1.EnvVar{Name: fmt.Sprintf("UPSTREAM_%d_ADDRESS", i), Value: fmt.Sprintf("upstream-%d.orders.svc.cluster.local:8443", i)}
		if i%4 == 1 {
			variable = corev1.EnvVar{Name: fmt.Sprintf("UPSTREAM_%d_TOKEN", i), ValueFrom: &corev1.EnvVarSource{
				SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "checkout-upstreams"}, Key: "token"},
			}}
		}
		env = append(env, variable)
	}
	return env
}

// tokenVolume is what the ServiceAccount admission plugin adds.
func tokenVolume() corev1.Volume {
	mode := new(int32(420))
	return corev1.Volume{Name: "kube-api-access-x7k2p", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: mode,
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: new(int64(3607)), Path: "token"}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}}}},
		},
	}}}
}

// managedFields returns the fields of the controller that created the pod: one
// "f:" for each field, items of lists by their keys.
func managedFields(t testing.TB, pod *corev1.Pod) []metav1.ManagedFieldsEntry {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"metadata": pod.ObjectMeta, "spec": pod.Spec})
	if err != nil {
		t.Fatal(err)
	}
	var fields any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(fieldSet(fields))
	if err != nil {
		t.Fatal(err)
	}
	created := metav1.NewTime(time.Date(2026, 3, 9, 8, 30, 0, 0, time.UTC))
	return []metav1.ManagedFieldsEntry{{
		Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1",
		Time: &created, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(set)),
	}}
}

func fieldSet(value any) map[string]any {
	set := map[string]any{}
	switch value := value.(type) {
	case map[string]any:
		for name, child := range value {
			set["f:"+name] = fieldSet(child)
		}
	case []any:
		for _, item := range value {
			object, isObject := item.(map[string]any)
			if !isObject || object["name"] == nil {
				continue // an atomic list
			}
			child := fieldSet(item)
			child["."] = map[string]any{}
			set[fmt.Sprintf(`k:{"name":%q}`, object["name"])] = child
		}
	}
	return set
}

// TestRealisticPods demands that the pods of the benchmarks have their declared
// sizes.
func TestRealisticPods(t *testing.T) {
	for _, size := range podSizes() {
		if bytes := len(realisticPod(t, size)); bytes < size.bytes*9/10 || bytes > size.bytes*11/10 {
			t.Errorf("%s has %d bytes, want about %d", size.name, bytes, size.bytes)
		}
	}
}
