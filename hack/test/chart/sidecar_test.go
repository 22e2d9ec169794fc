package chart_test

import (
	"slices"
	"strings"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"egress.scw/webhook/api/names"
)

// withSidecars are values of a proxy that accepts sidecars.
const withSidecars = `
proxy:
  addresses: [172.16.28.8]
  identity: Offered
  machines: [{address: 172.16.28.8, certificate: "` + machineCertificate + `"}]`

// machineCertificate is a certificate as proxy machines make it.
const machineCertificate = `-----BEGIN CERTIFICATE-----\nMIIBdjCCARugAwIBAgIUAfjb8VOR1MJJIf0wz06TXZIfWK4wCgYIKoZIzj0EAwIw\nEDEOMAwGA1UEAwwFcHJveHkwHhcNMjYxMTI5MDEzMDMxWhcNMzYxMTI2MDEzMDMx\nWjAQMQ4wDAYDVQQDDAVwcm94eTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBwq\nzcJQwGaIJOKHgVvM7fSA+d4FYok8jxeWWlcJzCPhxkLSRgQltavyGjqhPOXJzskc\nkfJnPLgZV7+CEe8lY8qjUzBRMB0GA1UdDgQWBBRxFZFxfNCMgnqHkgWncdNRxRIk\ntTAfBgNVHSMEGDAWgBRxFZFxfNCMgnqHkgWncdNRxRIktTAPBgNVHRMBAf8EBTAD\nAQH/MAoGCCqGSM49BAMCA0kAMEYCIQCJXWna+FDkGCKqy7DMbyY2V6XG+89Zoa4j\ng4CYxs2dqQIhAJl/TEVGMo/+A/AYuH/era1tu6DnEvcI4wBuMpTCNL+T\n-----END CERTIFICATE-----\n`

// The authority of sidecars is one of its own, which only objects of the release
// namespace can use.
func TestAuthorityOfSidecars(t *testing.T) {
	r := mustInstall(t, withSidecars)
	issuer := named[*certmanager.Issuer](t, r, names.SidecarIssuer)
	ca := named[*certmanager.Certificate](t, r, names.AuthorityConfigMap)
	if issuer.Namespace != releaseNamespace || ca.Namespace != releaseNamespace {
		t.Errorf("the Issuer is in %s and the authority in %s, not in %s", issuer.Namespace, ca.Namespace, releaseNamespace)
	}
	if issuer.Spec.CA == nil || issuer.Spec.CA.SecretName != ca.Spec.SecretName || !ca.Spec.IsCA {
		t.Errorf("the Issuer signs with %+v, not with the authority in Secret %s", issuer.Spec.CA, ca.Spec.SecretName)
	}
	if ca.Spec.PrivateKey.RotationPolicy != certmanager.RotationPolicyNever {
		t.Error("a renewed authority has another key, which no proxy trusts yet")
	}
	for _, certificate := range all[*certmanager.Certificate](r) {
		if certificate.Spec.IssuerRef.Name == names.SidecarIssuer {
			t.Errorf("Certificate %s, which is no tenant's, is issued by the authority of sidecars", certificate.Name)
		}
	}
	for _, issuers := range all[*certmanager.ClusterIssuer](r) {
		t.Errorf("ClusterIssuer %s can be used from every namespace", issuers.Name)
	}
	if len(all[*certmanager.Issuer](mustInstall(t, minimalValues))) != 2 {
		t.Error("there is an authority of sidecars although the proxy accepts none")
	}
}

// A stolen token of the webhook must not read more Secrets than those of sidecars:
// those of tenants, and those that cert-manager makes for them.
func TestLeastPrivilegeWithSidecars(t *testing.T) {
	r := mustInstall(t, withSidecars)
	var certificates []string
	for port := int32(names.TenantPortMin); port <= names.TenantPortMax; port++ {
		certificates = append(certificates, names.SidecarCertificate(port))
	}
	want := map[string][]rbacv1.PolicyRule{
		"ClusterRole": {
			{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{names.SidecarName}, Verbs: []string{"list", "watch", "create", "patch", "delete"}},
		},
		"Role": {
			{APIGroups: []string{"cert-manager.io"}, Resources: []string{"certificates"}, Verbs: []string{"list", "watch"}},
			{APIGroups: []string{"cert-manager.io"}, Resources: []string{"certificates"}, ResourceNames: certificates, Verbs: []string{"create", "patch", "delete"}},
			{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: certificates, Verbs: []string{"get", "patch"}},
			{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{names.AuthorityConfigMap}, Verbs: []string{"get", "create", "patch"}},
		},
	}
	got := map[string][]rbacv1.PolicyRule{"Role": named[*rbacv1.Role](t, r, names.FieldOwner+"-sidecars").Rules}
	for _, rule := range webhookRole(t, r).Rules {
		if slices.Contains(rule.Resources, "secrets") {
			got["ClusterRole"] = append(got["ClusterRole"], rule)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rights (-want +rendered):\n%s", diff)
	}
	for _, role := range all[*rbacv1.Role](r) {
		for _, rule := range role.Rules {
			if slices.Contains(rule.Resources, "secrets") && role.Name != names.FieldOwner+"-sidecars" {
				t.Errorf("Role %s/%s: Secrets: %v", role.Namespace, role.Name, rule)
			}
		}
	}
	if slices.Contains(certificates, names.AuthorityConfigMap) {
		t.Error("the webhook may read the key of the authority")
	}
	binding := named[*rbacv1.RoleBinding](t, r, names.FieldOwner+"-sidecars")
	if binding.RoleRef.Name != names.FieldOwner+"-sidecars" || len(binding.Subjects) != 1 || binding.Subjects[0].Name != names.FieldOwner {
		t.Errorf("the Role is bound by %+v", binding)
	}
}

// The webhook asks proxies on the port of sidecars, where they have one.
func TestPolicyOfTheWebhookWithSidecars(t *testing.T) {
	opens := func(values string) bool {
		for _, rule := range only[*networkingv1.NetworkPolicy](t, mustInstall(t, values)).Spec.Egress {
			for _, port := range rule.Ports {
				if port.EndPort == nil && port.Port.IntValue() == names.SidecarPort {
					return true
				}
			}
		}
		return false
	}
	if opens(minimalValues) || !opens(withSidecars) {
		t.Errorf("port %d of the proxy is open without sidecars: %t, with them: %t", names.SidecarPort, opens(minimalValues), opens(withSidecars))
	}
}

// The notes warn of sidecars without a proxy.
func TestNotesWithoutMachines(t *testing.T) {
	const warning = "NOTE: proxy.machines is empty."
	for values, want := range map[string]bool{
		minimalValues: false,
		withSidecars:  false,
		"proxy: {addresses: [172.16.28.8], identity: Required}": true,
	} {
		if got := strings.Contains(mustInstall(t, values).notes, warning); got != want {
			t.Errorf("the notes warn: %t, want %t with %s", got, want, values)
		}
	}
}
