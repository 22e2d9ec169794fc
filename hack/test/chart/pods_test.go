package chart_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func podTemplate(t *testing.T, r rendered) corev1.PodTemplateSpec {
	t.Helper()
	return only[*appsv1.Deployment](t, r).Spec.Template
}

func onlyContainer(t *testing.T, r rendered) corev1.Container {
	t.Helper()
	containers := podTemplate(t, r).Spec.Containers
	if len(containers) != 1 {
		t.Fatalf("%d containers, not one", len(containers))
	}
	return containers[0]
}

// The release namespace may enforce Kubernetes' strictest standard.
func TestPodsMeetPodSecurityRestricted(t *testing.T) {
	template := podTemplate(t, mustInstall(t, minimalValues))
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	results := evaluator.EvaluatePod(restricted, &template.ObjectMeta, &template.Spec)
	if len(results) == 0 {
		t.Fatal("no container was checked")
	}
	for _, result := range results {
		if !result.Allowed {
			t.Errorf("%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
}

// Settings that PodSecurity does not require.
func TestPodsAreConfined(t *testing.T) {
	r := mustInstall(t, minimalValues)
	container := onlyContainer(t, r)
	if readOnly := container.SecurityContext.ReadOnlyRootFilesystem; readOnly == nil || !*readOnly {
		t.Error("the root file system can be written")
	}
	if automount := only[*corev1.ServiceAccount](t, r).AutomountServiceAccountToken; automount == nil || *automount {
		t.Error("every pod of the ServiceAccount gets its token, asked or not")
	}
	for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, limit := container.Resources.Requests[resource], container.Resources.Limits[resource]
		if request.IsZero() || limit.IsZero() {
			t.Errorf("%s: request %s, limit %s", resource, &request, &limit)
		}
	}
	if mode := podTemplate(t, r).Spec.Volumes[0].Secret.DefaultMode; mode == nil || *mode != 0o440 {
		t.Errorf("the private key's mode is %v, not 0440", mode)
	}
}

// TestProbes: the kubelet probes the paths that the process serves.
func TestProbes(t *testing.T) {
	container := onlyContainer(t, mustInstall(t, minimalValues))
	for path, probe := range map[string]*corev1.Probe{"/healthz": container.LivenessProbe, "/readyz": container.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.StrVal != "probes" {
			t.Errorf("%s is not asked on the probe port: %v", path, probe)
		}
	}
}

// Whether pods are replaced, evicted or drained, one of them keeps answering,
// and a terminating pod finishes its requests.
func TestNoRequestIsLost(t *testing.T) {
	r := mustInstall(t, minimalValues)
	deployment := only[*appsv1.Deployment](t, r)
	if replicas := deployment.Spec.Replicas; replicas == nil || *replicas < 2 {
		t.Error("fewer than two replicas")
	}
	rolling := deployment.Spec.Strategy.RollingUpdate
	if rolling == nil || rolling.MaxUnavailable.IntValue() != 0 || rolling.MaxSurge.IntValue() < 1 {
		t.Errorf("a rollout removes a pod before its replacement is ready: %v", rolling)
	}
	template := deployment.Spec.Template
	budget := only[*policyv1.PodDisruptionBudget](t, r)
	if budget.Spec.MaxUnavailable == nil || budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Error("evictions may remove several pods at once, or never one")
	}
	requireSelects(t, "the PodDisruptionBudget", budget.Spec.Selector, deployment)
	for _, constraint := range template.Spec.TopologySpreadConstraints {
		requireSelects(t, "the spread over "+constraint.TopologyKey, constraint.LabelSelector, deployment)
		if constraint.WhenUnsatisfiable != corev1.ScheduleAnyway {
			t.Errorf("on a cluster with too few of %s, a pod stays pending", constraint.TopologyKey)
		}
	}
	if len(template.Spec.TopologySpreadConstraints) == 0 {
		t.Error("both pods may run on one node")
	}
	if template.Spec.PriorityClassName == "" {
		t.Error("any pod may take the webhook's place")
	}

	// After SIGTERM: drainPeriod and shutdownTimeout of the webhook's main.
	const process = 5*time.Second + 10*time.Second
	preStop := onlyContainer(t, r).Lifecycle.PreStop
	if preStop.Sleep == nil || preStop.Sleep.Seconds < 1 {
		t.Fatal("a deleted pod stops at once, while it is still asked")
	}
	grace := time.Duration(*template.Spec.TerminationGracePeriodSeconds) * time.Second
	if needed := time.Duration(preStop.Sleep.Seconds)*time.Second + process; grace <= needed {
		t.Errorf("killed after %s, but finished only after %s", grace, needed)
	}
}

// requireSelects requires the Deployment's own selector: a selector with more
// labels, such as the version, would lose the old pods in the middle of an
// upgrade.
func requireSelects(t *testing.T, what string, selector *metav1.LabelSelector, deployment *appsv1.Deployment) {
	t.Helper()
	if diff := cmp.Diff(deployment.Spec.Selector, selector); diff != "" {
		t.Errorf("%s does not select the Deployment's pods: -Deployment +selector\n%s", what, diff)
	}
}
