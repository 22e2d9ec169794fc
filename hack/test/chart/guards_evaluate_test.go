package chart_test

import (
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

// Images are completed as container runtimes do, and those that a pod had before stay.
func TestGuardOfImageRegistriesDecides(t *testing.T) {
	r := mustInstall(t, minimalValues+"\nguards: {imageRegistries: [docker.io, rg.fr-par.scw.cloud/platform]}")
	policy := guards(t, r)["image-registries"].policy
	for name, c := range map[string]struct {
		before, after *corev1.Pod
		want          bool
	}{
		"of the list":                    {nil, podOf("rg.fr-par.scw.cloud/platform/app:1", ""), true},
		"of another registry":            {nil, podOf("quay.io/other/app", ""), false},
		"a name that begins as the list": {nil, podOf("rg.fr-par.scw.cloud/platform-b/app", ""), false},
		"completed with Docker Hub":      {nil, podOf("library/nginx", ""), true},
		"a host of one label":            {nil, podOf("OTHER/app", ""), false},
		"a host with a port":             {nil, podOf("other:5000/app", ""), false},
		"an image volume":                {nil, podOf("nginx", "quay.io/other/data"), false},
		"another image":                  {podOf("nginx", ""), podOf("quay.io/other/app", ""), false},
		"an image that was there before": {podOf("quay.io/other/app", ""), podOf("quay.io/other/app", ""), true},
		"a volume that was there before": {podOf("nginx", "quay.io/other/data"), podOf("nginx", "quay.io/other/data"), true},
		"an image of a volume of before": {podOf("nginx", "quay.io/other/data"), podOf("quay.io/other/app", "quay.io/other/data"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := admits(t, policy, c.before, c.after); got != c.want {
				t.Errorf("admitted: %t, want %t", got, c.want)
			}
		})
	}
}

func podOf(image, volume string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "orders", Name: "api"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "api", Image: image}}},
	}
	if volume != "" {
		pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: volume}}}}
	}
	return pod
}

// admits evaluates the validations of a guard as an API server does, for a pod that is
// created, or updated.
func admits(t *testing.T, policy *admissionregistrationv1.ValidatingAdmissionPolicy, before, after *corev1.Pod) bool {
	t.Helper()
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(version.MajorMinor(1, 36)))
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range policy.Spec.Variables {
		compiler.CompileAndStoreVariable(&validating.Variable{Name: variable.Name, Expression: variable.Expression}, cel.OptionalVariableDeclarations{}, environment.NewExpressions)
	}
	var conditions []cel.ExpressionAccessor
	for _, validation := range policy.Spec.Validations {
		conditions = append(conditions, &validating.ValidationCondition{Expression: validation.Expression})
	}
	operation, former := admission.Create, runtime.Object(nil)
	if before != nil {
		operation, former = admission.Update, before
	}
	kind, resource := corev1.SchemeGroupVersion.WithKind("Pod"), corev1.SchemeGroupVersion.WithResource("pods")
	attributes := admission.NewAttributesRecord(after, former, kind, after.Namespace, after.Name, resource, "", operation, nil, false, nil)
	results, _, err := compiler.CompileCondition(conditions, cel.OptionalVariableDeclarations{}, environment.NewExpressions).ForInput(
		compiler.CreateContext(t.Context()),
		&admission.VersionedAttributes{Attributes: attributes, VersionedKind: kind, VersionedObject: admission.NewLazyObject(after), VersionedOldObject: admission.NewLazyObject(former)},
		cel.CreateAdmissionRequest(attributes, metav1.GroupVersionResource(resource), metav1.GroupVersionKind(kind)),
		cel.OptionalVariableBindings{}, nil, celconfig.RuntimeCELCostBudget)
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range results {
		if result.Error != nil {
			t.Fatal(result.Error)
		}
		if result.EvalResult.Value() != true {
			return false
		}
	}
	return true
}
