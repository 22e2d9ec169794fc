package chart_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	podsecurityapi "k8s.io/pod-security-admission/api"
	podsecurity "k8s.io/pod-security-admission/policy"

	"egress.scw/webhook/api/names"
)

// closedDNS is the name of the objects of the DNS server for tenants with dns Closed.
const closedDNS = names.ChartName + "-dns"

const withClosedDNS = minimalValues + `
dns: {closed: {address: 10.32.0.11, forward: [{zone: corp.example.com, servers: [172.16.28.53, "fd00::53"]}]}}`

// Without the value, there is no DNS server.
func TestNoClosedDNSByDefault(t *testing.T) {
	r := mustInstall(t, minimalValues)
	for _, object := range r.objects {
		if named, ok := object.(interface{ GetName() string }); ok && strings.HasPrefix(named.GetName(), closedDNS) {
			t.Errorf("%T %s", object, named.GetName())
		}
	}
	if closed := settingsOf(t, r).DNS.Closed; closed != nil {
		t.Errorf("the settings have the DNS server %+v", closed)
	}
}

// The settings, the Service, its pods and their policy agree.
func TestClosedDNS(t *testing.T) {
	r := mustInstall(t, withClosedDNS)
	closed := settingsOf(t, r).DNS.Closed
	deployment := named[*appsv1.Deployment](t, r, closedDNS)
	service := named[*corev1.Service](t, r, closedDNS)
	if closed == nil || service.Spec.ClusterIP != "10.32.0.11" || closed.Address.String() != service.Spec.ClusterIP {
		t.Fatalf("the Service has the address %s, and the settings are %+v", service.Spec.ClusterIP, closed)
	}
	if closed.Pods.Namespace != deployment.Namespace {
		t.Errorf("the pods are in %s, and policies open %s", deployment.Namespace, closed.Pods.Namespace)
	}
	pod := deployment.Spec.Template
	selectors := map[string]map[string]string{
		"Deployment": deployment.Spec.Selector.MatchLabels, "Service": service.Spec.Selector, "tenants' policies": closed.Pods.PodLabels,
		"PodDisruptionBudget": named[*policyv1.PodDisruptionBudget](t, r, closedDNS).Spec.Selector.MatchLabels,
		"own policy":          named[*networkingv1.NetworkPolicy](t, r, closedDNS).Spec.PodSelector.MatchLabels,
	}
	for name, selector := range selectors {
		if len(selector) == 0 || !labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) {
			t.Errorf("the selector of the %s, %v, does not match the pods' labels %v", name, selector, pod.Labels)
		}
	}
	// The webhook's own objects do not select them.
	for name, selector := range map[string]map[string]string{
		"Service": named[*corev1.Service](t, r, names.ChartName).Spec.Selector,
		"policy":  named[*networkingv1.NetworkPolicy](t, r, names.ChartName).Spec.PodSelector.MatchLabels,
	} {
		if labels.SelectorFromSet(selector).Matches(labels.Set(pod.Labels)) {
			t.Errorf("the webhook's %s selects the DNS server", name)
		}
	}
	ports := map[string]corev1.ContainerPort{}
	for _, port := range pod.Spec.Containers[0].Ports {
		ports[port.Name] = port
	}
	for _, port := range service.Spec.Ports {
		target := ports[port.TargetPort.StrVal]
		if port.Port != 53 || target.Protocol != port.Protocol || len(closed.Pods.Ports) != 1 || target.ContainerPort != int32(closed.Pods.Ports[0]) {
			t.Errorf("port %d/%s of the Service leads to %+v; policies open %v", port.Port, port.Protocol, target, closed.Pods.Ports)
		}
	}
	if replicas := deployment.Spec.Replicas; replicas == nil || *replicas != 2 {
		t.Errorf("there are %v pods", replicas)
	}
}

// Its pods are those of a restricted namespace.
func TestClosedDNSIsRestricted(t *testing.T) {
	evaluator, err := podsecurity.NewEvaluator(podsecurity.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pod := named[*appsv1.Deployment](t, mustInstall(t, withClosedDNS), closedDNS).Spec.Template
	level := podsecurityapi.LevelVersion{Level: podsecurityapi.LevelRestricted, Version: podsecurityapi.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
		if !result.Allowed {
			t.Errorf("%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
}

// It asks other servers for the zones of the value alone, and its policy lets it reach
// no others.
func TestClosedDNSForwardsListedZones(t *testing.T) {
	r := mustInstall(t, withClosedDNS)
	corefile := named[*corev1.ConfigMap](t, r, closedDNS).Data["Corefile"]
	var servers []string
	for _, line := range regexp.MustCompile(`(?m)^\s*forward (.*?)\s*$`).FindAllStringSubmatch(corefile, -1) {
		servers = append(servers, line[1])
	}
	if diff := cmp.Diff([]string{". 172.16.28.53 [fd00::53]"}, servers); diff != "" {
		t.Errorf("-want +rendered:\n%s\n%s", diff, corefile)
	}
	if !strings.Contains(corefile, "corp.example.com:1053 {") {
		t.Errorf("there is no block of the zone:\n%s", corefile)
	}
	var blocks []string
	for _, rule := range named[*networkingv1.NetworkPolicy](t, r, closedDNS).Spec.Egress {
		if len(rule.To) == 0 && (len(rule.Ports) != 2 || rule.Ports[0].Port.IntValue() != 443 || rule.Ports[1].Port.IntValue() != 6443) {
			t.Errorf("all destinations are open on %v", rule.Ports)
		}
		for _, peer := range rule.To {
			blocks = append(blocks, peer.IPBlock.CIDR)
		}
	}
	if diff := cmp.Diff([]string{"172.16.28.53/32", "fd00::53/128"}, blocks); diff != "" {
		t.Errorf("-want +rendered:\n%s", diff)
	}
	corefile = named[*corev1.ConfigMap](t, mustInstall(t, minimalValues+"\ndns: {closed: {address: 10.32.0.11}}"), closedDNS).Data["Corefile"]
	if strings.Contains(corefile, "forward") {
		t.Errorf("it asks other servers:\n%s", corefile)
	}
}

// A zone that is written twice would keep CoreDNS from starting.
func TestClosedDNSWithRepeatedZone(t *testing.T) {
	for _, zone := range []string{"corp.example.com", "cluster.local", "ip6.arpa"} {
		_, err := install(t, minimalValues+"\ndns: {closed: {address: 10.32.0.11, forward: [{zone: corp.example.com, servers: [172.16.28.53]}, {zone: "+zone+", servers: [172.16.28.54]}]}}")
		if err == nil || !strings.Contains(err.Error(), "dns.closed.forward[1].zone: "+zone+" is answered already") {
			t.Errorf("zone %s: %v", zone, err)
		}
	}
}

// New contents of its configuration replace its pods.
func TestClosedDNSRestarts(t *testing.T) {
	checksum := func(values string) string {
		return named[*appsv1.Deployment](t, mustInstall(t, values), closedDNS).Spec.Template.Annotations["checksum/corefile"]
	}
	if with, without := checksum(withClosedDNS), checksum(minimalValues+"\ndns: {closed: {address: 10.32.0.11}}"); with == without || with == "" {
		t.Errorf("the checksum is %q with and without a zone", with)
	}
}

// The default image is the version of CoreDNS that the tests run.
func TestCoreDNSVersion(t *testing.T) {
	module, err := os.ReadFile(filepath.Join("..", "..", "tools", "kubernetes", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`github.com/coredns/coredns v(\S+)`).FindSubmatch(module)
	image := named[*appsv1.Deployment](t, mustInstall(t, withClosedDNS), closedDNS).Spec.Template.Spec.Containers[0].Image
	if version == nil || !strings.HasSuffix(image, ":"+string(version[1])) {
		t.Errorf("the image is %s, and the module is %s", image, version)
	}
}
