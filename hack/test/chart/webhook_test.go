package chart_test

import (
	"slices"
	"strings"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"

	"egress.scw/webhook/api/names"
)

// podWebhooks returns the webhook of created pods, and that of updated ones.
func podWebhooks(t *testing.T, r rendered) (created, updated admissionregistrationv1.MutatingWebhook) {
	t.Helper()
	configuration := only[*admissionregistrationv1.MutatingWebhookConfiguration](t, r)
	for _, webhook := range configuration.Webhooks {
		switch webhook.Name {
		case "pods.egress.scw":
			created = webhook
		case "pod-updates.egress.scw":
			updated = webhook
		}
	}
	if created.Name == "" || updated.Name == "" {
		t.Fatalf("a webhook of pods is missing in %+v", configuration.Webhooks)
	}
	return created, updated
}

func onlyWebhook(t *testing.T, r rendered) admissionregistrationv1.MutatingWebhook {
	t.Helper()
	created, _ := podWebhooks(t, r)
	return created
}

// Updates reach the webhook from the same namespaces as creations, and do not
// depend on it.
func TestPodUpdates(t *testing.T) {
	created, updated := podWebhooks(t, mustInstall(t, minimalValues))
	want := created
	want.Name, want.MatchConditions = updated.Name, updated.MatchConditions
	want.Rules = []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update}, Rule: created.Rules[0].Rule,
	}}
	want.FailurePolicy = new(admissionregistrationv1.Ignore)
	want.SideEffects = new(admissionregistrationv1.SideEffectClassNone)
	if diff := cmp.Diff(want, updated); diff != "" || len(updated.MatchConditions) != 1 {
		t.Errorf("-want +rendered\n%s", diff)
	}
}

func TestWebhookSelectsTenantsOnly(t *testing.T) {
	r := mustInstall(t, minimalValues+"\ncertManager: {namespace: pki}\ndns: {pods: [{namespace: dns, podLabels: {a: b}}]}")
	selector, err := metav1.LabelSelectorAsSelector(onlyWebhook(t, r).NamespaceSelector)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"client-a": true, "cert-manager": true, "pki": false, "dns": false, "kube-system": false, releaseNamespace: false} {
		namespace := labels.Set{corev1.LabelMetadataName: name}
		if selector.Matches(namespace) {
			t.Errorf("namespace %s is selected without the tenant label", name)
		}
		namespace[names.LabelTenant] = "client-a"
		if got := selector.Matches(namespace); got != want {
			t.Errorf("namespace %s with the tenant label: selected %t, want %t", name, got, want)
		}
	}
}

// The controllers ignore exactly the namespaces for which the API server does
// not call the webhook.
func TestProtectedNamespacesAreNotSelected(t *testing.T) {
	r := mustInstall(t, minimalValues+"\ncertManager: {namespace: pki}\ndns: {pods: [{namespace: dns, podLabels: {a: b}}]}")
	var unselected []string
	for _, expression := range onlyWebhook(t, r).NamespaceSelector.MatchExpressions {
		if expression.Key == corev1.LabelMetadataName && expression.Operator == metav1.LabelSelectorOpNotIn {
			unselected = append(unselected, expression.Values...)
		}
	}
	protected := sets.List(settingsOf(t, r).ProtectedNamespaces)
	slices.Sort(unselected)
	if diff := cmp.Diff(unselected, protected); diff != "" || len(protected) == 0 {
		t.Errorf("-unselected +protected\n%s", diff)
	}
}

func TestWebhookFailsClosed(t *testing.T) {
	webhook := onlyWebhook(t, mustInstall(t, minimalValues))
	rule := func(resource string, operation admissionregistrationv1.OperationType) admissionregistrationv1.RuleWithOperations {
		scope := admissionregistrationv1.NamespacedScope
		return admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{operation},
			Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource}, Scope: &scope},
		}
	}
	want := admissionregistrationv1.MutatingWebhook{
		Name:                    webhook.Name,
		ClientConfig:            webhook.ClientConfig,
		NamespaceSelector:       webhook.NamespaceSelector,
		ObjectSelector:          nil, // a pod that opts out of injection needs the policy all the same
		Rules:                   []admissionregistrationv1.RuleWithOperations{rule("pods", "CREATE"), rule("pods/ephemeralcontainers", "UPDATE")},
		FailurePolicy:           new(admissionregistrationv1.Fail),
		MatchPolicy:             new(admissionregistrationv1.Equivalent),
		ReinvocationPolicy:      new(admissionregistrationv1.IfNeededReinvocationPolicy),
		SideEffects:             new(admissionregistrationv1.SideEffectClassNoneOnDryRun),
		TimeoutSeconds:          new(int32(5)),
		AdmissionReviewVersions: []string{"v1"},
	}
	if diff := cmp.Diff(want, webhook); diff != "" {
		t.Errorf("-want +rendered\n%s", diff)
	}
}

// From the API server's request to the container: Service, port and path,
// selected pods, the certificate's name, its Secret and its authority.
func TestWebhookIsReachable(t *testing.T) {
	r := mustInstall(t, minimalValues)
	configuration := only[*admissionregistrationv1.MutatingWebhookConfiguration](t, r)
	client := onlyWebhook(t, r).ClientConfig
	service := only[*corev1.Service](t, r)
	deployment := only[*appsv1.Deployment](t, r)
	certificate := serving(t, r)

	if len(client.CABundle) > 0 {
		t.Error("the CA bundle is cert-manager's to write, not the chart's")
	}
	if got, want := configuration.Annotations[certmanager.WantInjectAnnotation], certificate.Namespace+"/"+certificate.Name; got != want {
		t.Errorf("the CA is injected from %q, not from %q", got, want)
	}
	want := &admissionregistrationv1.ServiceReference{
		Name: service.Name, Namespace: service.Namespace, Path: new(names.PodHandlerPath), Port: new(int32(443)),
	}
	if diff := cmp.Diff(want, client.Service); diff != "" {
		t.Errorf("clientConfig.service: -want +rendered\n%s", diff)
	}
	if name := service.Name + "." + service.Namespace + ".svc"; !slices.Contains(certificate.Spec.DNSNames, name) {
		t.Errorf("the certificate is for %v, but the API server asks for %s", certificate.Spec.DNSNames, name)
	}
	requireSelects(t, "the Service", &metav1.LabelSelector{MatchLabels: service.Spec.Selector}, deployment)
	container := deployment.Spec.Template.Spec.Containers[0]
	for _, port := range service.Spec.Ports {
		if !slices.ContainsFunc(container.Ports, func(p corev1.ContainerPort) bool { return p.Name == port.TargetPort.StrVal }) {
			t.Errorf("port %s of the Service leads to %q, which no container port is called", port.Name, port.TargetPort.StrVal)
		}
	}
	volumes := deployment.Spec.Template.Spec.Volumes
	if len(volumes) == 0 || volumes[0].Secret == nil || volumes[0].Secret.SecretName != certificate.Spec.SecretName {
		t.Errorf("the pods do not mount the certificate's Secret %s: %v", certificate.Spec.SecretName, volumes)
	}
}

// serving returns the certificate that is not an authority.
func serving(t *testing.T, r rendered) *certmanager.Certificate {
	t.Helper()
	for _, certificate := range all[*certmanager.Certificate](r) {
		if !certificate.Spec.IsCA {
			return certificate
		}
	}
	t.Fatal("no certificate to serve with")
	return nil
}

// The chain must be valid while kubelet still serves the previous certificate
// after a renewal, of the leaf and of the authority.
func TestCertificatesOutliveRenewal(t *testing.T) {
	r := mustInstall(t, minimalValues)
	leaf := serving(t, r)
	issuers := map[string]*certmanager.Issuer{}
	for _, issuer := range all[*certmanager.Issuer](r) {
		issuers[issuer.Name] = issuer
	}
	signer := issuers[leaf.Spec.IssuerRef.Name]
	if signer == nil || signer.Spec.CA == nil {
		t.Fatalf("the serving certificate's issuer %s is not a certificate authority", leaf.Spec.IssuerRef.Name)
	}
	var ca *certmanager.Certificate
	for _, certificate := range all[*certmanager.Certificate](r) {
		if certificate.Spec.SecretName == signer.Spec.CA.SecretName {
			ca = certificate
		}
	}
	if ca == nil || !ca.Spec.IsCA {
		t.Fatalf("no certificate authority in Secret %s", signer.Spec.CA.SecretName)
	}
	if root := issuers[ca.Spec.IssuerRef.Name]; root == nil || root.Spec.SelfSigned == nil {
		t.Errorf("the authority's issuer %s does not sign itself", ca.Spec.IssuerRef.Name)
	}
	if ca.Spec.PrivateKey.RotationPolicy != certmanager.RotationPolicyNever {
		t.Error("a renewed authority gets a new key: certificates signed by the old one would be refused at once")
	}
	if ca.Spec.CommonName == "" {
		t.Error("the authority has no name, so no certificate could name it as its issuer")
	}
	if leaf.Spec.PrivateKey.RotationPolicy != certmanager.RotationPolicyAlways {
		t.Error("the serving certificate keeps its key for ever")
	}
	if ca.Spec.RenewBefore.Duration <= leaf.Spec.Duration.Duration {
		t.Errorf("an authority renewed %s before its end may end before the certificates it signed, which live %s", ca.Spec.RenewBefore.Duration, leaf.Spec.Duration.Duration)
	}
	for _, certificate := range []*certmanager.Certificate{ca, leaf} {
		if certificate.Spec.PrivateKey.Algorithm != certmanager.ECDSAKeyAlgorithm {
			t.Errorf("%s: key algorithm %s", certificate.Name, certificate.Spec.PrivateKey.Algorithm)
		}
	}
	if strings.HasSuffix(leaf.Spec.SecretName, "-ca") {
		t.Error("the pods would mount the authority's key")
	}
}
