package chart_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	podsecurityapi "k8s.io/pod-security-admission/api"
	podsecurity "k8s.io/pod-security-admission/policy"

	"egress.scw/webhook/api/names"
)

// watcher is the name of the objects of bootstrap watch.
const watcher = names.ChartName + "-watch"

const withWatch = minimalValues + `
watch: {enabled: true, config: {configMap: egress-config}, credentials: egress-bootstrap}`

// Without the value, there is no watcher.
func TestNoWatchByDefault(t *testing.T) {
	for _, object := range mustInstall(t, minimalValues).objects {
		if object, ok := object.(interface{ GetName() string }); ok && strings.HasPrefix(object.GetName(), watcher) {
			t.Errorf("%T %s", object, object.GetName())
		}
	}
}

// It needs a configuration and credentials, and exactly one place of the configuration.
func TestWatchNeedsConfiguration(t *testing.T) {
	for values, want := range map[string]string{
		"{enabled: true}": "watch.",
		"{enabled: true, credentials: a, config: {configMap: a, secret: b}}":                       "watch.config",
		"{enabled: true, config: {configMap: a}}":                                                  "watch.credentials",
		"{enabled: true, credentials: a, config: {configMap: a}, interval: 5s}":                    "watch/interval",
		"{enabled: true, credentials: a, config: {configMap: a}, interval: 2h}":                    "watch/interval",
		"{enabled: true, credentials: a, config: {configMap: a, secret: \"\"}, allowReplace: yes}": "",
	} {
		_, err := install(t, minimalValues+"\nwatch: "+values)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error about %q", values, err, want)
		}
	}
}

// The pod is confined like the webhook's, its objects agree, and the permissions are the
// flags.
func TestWatch(t *testing.T) {
	r := mustInstall(t, withWatch)
	deployment := named[*appsv1.Deployment](t, r, watcher)
	pod := deployment.Spec.Template
	for name, selector := range map[string]map[string]string{
		"Deployment":    deployment.Spec.Selector.MatchLabels,
		"NetworkPolicy": named[*networkingv1.NetworkPolicy](t, r, watcher).Spec.PodSelector.MatchLabels,
	} {
		if len(selector) == 0 || !labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) {
			t.Errorf("the %s does not select the pod", name)
		}
		if labels.SelectorFromSet(selector).Matches(labels.Set(podTemplateOf(t, r, names.ChartName).Labels)) {
			t.Errorf("the %s selects the webhook", name)
		}
	}
	evaluator, err := podsecurity.NewEvaluator(podsecurity.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range evaluator.EvaluatePod(podsecurityapi.LevelVersion{Level: podsecurityapi.LevelRestricted, Version: podsecurityapi.LatestVersion()}, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			t.Errorf("%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
	container := pod.Spec.Containers[0]
	if *deployment.Spec.Replicas != 1 || !*container.SecurityContext.ReadOnlyRootFilesystem {
		t.Error("it has several replicas, or can write its root file system")
	}
	if account := named[*corev1.ServiceAccount](t, r, watcher); *account.AutomountServiceAccountToken || pod.Spec.ServiceAccountName != watcher {
		t.Error("it does not use a ServiceAccount of its own")
	}
	if from := container.EnvFrom; len(from) != 1 || from[0].SecretRef.Name != "egress-bootstrap" {
		t.Errorf("the credentials are those of %v", from)
	}
	if slices.Contains(container.Args, "--allow-replace") || slices.Contains(container.Args, "--allow-delete") {
		t.Error("it replaces and deletes by default")
	}
	permitted := named[*appsv1.Deployment](t, mustInstall(t, strings.TrimSuffix(withWatch, "}")+", allowReplace: true, allowDelete: true}"), watcher)
	for _, flag := range []string{"--allow-replace", "--allow-delete"} {
		if !slices.Contains(permitted.Spec.Template.Spec.Containers[0].Args, flag) {
			t.Errorf("the value of %s has no effect", flag)
		}
	}
}

// Pods reach the metrics of the watcher and of the webhook, all of them or those of the
// value, and not the health of the watcher: with all of its connections they would end it.
func TestMetricsClients(t *testing.T) {
	const clients = "{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}"
	want := networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "monitoring"}}}
	for value, want := range map[string][]networkingv1.NetworkPolicyPeer{"[]": nil, "[" + clients + "]": {want}} {
		r := mustInstall(t, withWatch+"\nnetworkPolicy: {metricsClients: "+value+"}")
		for policy, others := range map[string][]string{watcher: nil, names.ChartName: {"webhook", "probes"}} {
			admitted := map[string][]networkingv1.NetworkPolicyPeer{"metrics": want}
			for _, port := range others {
				admitted[port] = nil
			}
			got := map[string][]networkingv1.NetworkPolicyPeer{}
			for _, rule := range named[*networkingv1.NetworkPolicy](t, r, policy).Spec.Ingress {
				for _, port := range rule.Ports {
					got[port.Port.StrVal] = rule.From
				}
			}
			if diff := cmp.Diff(admitted, got); diff != "" {
				t.Errorf("%s, with %s, -want +got:\n%s", policy, value, diff)
			}
		}
		probed := named[*appsv1.Deployment](t, r, watcher).Spec.Template.Spec.Containers[0]
		for _, probe := range []*corev1.Probe{probed.LivenessProbe, probed.ReadinessProbe} {
			if probe.HTTPGet.Port.StrVal != "health" {
				t.Errorf("the kubelet uses the port %s", probe.HTTPGet.Port.StrVal)
			}
		}
	}
}

// The rights name the objects that the program uses, and no Secret.
func TestWatchRights(t *testing.T) {
	r := mustInstall(t, withWatch)
	rules := slices.Concat(named[*rbacv1.Role](t, r, watcher).Rules, named[*rbacv1.ClusterRole](t, r, watcher).Rules)
	var objects []string
	for _, rule := range rules {
		objects = append(objects, rule.ResourceNames...)
		if slices.Contains(rule.Resources, "secrets") || slices.Contains(rule.Verbs, "*") || slices.Contains(rule.Resources, "*") {
			t.Errorf("too wide: %v", rule)
		}
	}
	for _, name := range []string{names.WatchLease, names.ValuesConfigMap, names.SettingsConfigMap, names.AuthorityConfigMap} {
		if !slices.Contains(objects, name) {
			t.Errorf("it may not use %s", name)
		}
	}
}

func podTemplateOf(t *testing.T, r rendered, name string) corev1.PodTemplateSpec {
	t.Helper()
	return named[*appsv1.Deployment](t, r, name).Spec.Template
}
