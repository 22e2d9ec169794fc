package controller

import (
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
)

// Only a certificate of the tenant that sidecars can use is an identity.
func TestParseIdentity(t *testing.T) {
	t.Parallel()
	authority := newAuthority(t)
	other := authority.contents(t, "client-a")
	for name, test := range map[string]struct {
		change   func(*x509.Certificate)
		contents func(map[string][]byte)
		want     string // in the error, empty for none
	}{
		"right":             {nil, nil, ""},
		"of another tenant": {func(c *x509.Certificate) { c.Subject.CommonName = "client-b" }, nil, `a certificate of "client-b"`},
		"of another organization": {
			func(c *x509.Certificate) { c.Subject.Organization = nil }, nil, "not of the tenant",
		},
		"for servers":    {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, nil, "not for client authentication"},
		"expired":        {func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, nil, "expired"},
		"another key":    {nil, func(data map[string][]byte) { data[corev1.TLSPrivateKeyKey] = other[corev1.TLSPrivateKeyKey] }, "no certificate with a key"},
		"empty":          {nil, func(data map[string][]byte) { clear(data) }, "no certificate with a key"},
		"no authority":   {nil, func(data map[string][]byte) { delete(data, cmmeta.TLSCAKey) }, "no certificate of the authority"},
		"not in PEM yet": {nil, func(data map[string][]byte) { data[corev1.TLSCertKey] = []byte("pending") }, "no certificate with a key"},
	} {
		if test.change == nil {
			test.change = func(*x509.Certificate) {}
		}
		contents := authority.contents(t, "client-a", test.change)
		if test.contents != nil {
			test.contents(contents)
		}
		id, err := parseIdentity(&corev1.Secret{Data: contents}, "client-a", time.Now())
		if test.want == "" && (err != nil || id == nil) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, error %v, want %q", name, id, err, test.want)
		}
	}
}

// The message has the cause that cert-manager gives, and the command that shows more.
func TestJudgeIssue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	missing := errors.New("it has no Secret")
	refused := []certmanagerv1.CertificateCondition{
		{Type: certmanagerv1.CertificateConditionReady, Status: cmmeta.ConditionFalse, Message: "does not exist"},
		{Type: certmanagerv1.CertificateConditionIssuing, Status: cmmeta.ConditionFalse, Message: "the request was denied"},
	}
	for name, test := range map[string]struct {
		age        time.Duration
		attempts   *int
		conditions []certmanagerv1.CertificateCondition
		left       time.Duration // of the certificate in the Secret, 0 for none
		reason     names.Reason
		want       []string
	}{
		"issued": {time.Hour, nil, nil, 8 * time.Hour, names.ReasonSidecarReady, []string{"egress-system/egress-sidecar-3129"}},
		"new":    {time.Second, nil, nil, 0, names.ReasonCertificatePending, nil},
		"cert-manager is away": {
			time.Minute, nil, nil, 0, names.ReasonCertificateNotIssued,
			[]string{"cert-manager has not answered", "it has no Secret", "kubectl -n egress-system describe certificate egress-sidecar-3129", "whether cert-manager runs"},
		},
		"refused at once":  {time.Second, new(1), refused, 0, names.ReasonCertificateNotIssued, []string{"the request was denied"}},
		"renewal refused":  {time.Hour, new(2), refused, 8 * time.Hour, names.ReasonCertificateNotIssued, []string{"does not renew", "until it expires", "the request was denied"}},
		"renewal is late":  {time.Hour, nil, nil, 6 * time.Hour, names.ReasonCertificateNotIssued, []string{"does not renew", "cert-manager has not answered"}},
		"Ready is not why": {time.Hour, nil, []certmanagerv1.CertificateCondition{{Type: certmanagerv1.CertificateConditionReady, Status: cmmeta.ConditionTrue, Message: "up to date"}}, 0, names.ReasonCertificateNotIssued, []string{"has not answered"}},
	} {
		certificate := tenantCertificate(tenantWithSidecar("client-a", 3129), "egress-system")
		certificate.CreationTimestamp = metav1.NewTime(now.Add(-test.age))
		certificate.Status.FailedIssuanceAttempts, certificate.Status.Conditions = test.attempts, test.conditions
		var id *identity
		if test.left > 0 {
			id = &identity{notAfter: now.Add(test.left)}
		}
		reason, message := judgeIssue(certificate, id, missing, now)
		if reason != test.reason {
			t.Errorf("%s: %s: %s, want %s", name, reason, message, test.reason)
		}
		for _, want := range test.want {
			if !strings.Contains(message, want) {
				t.Errorf("%s: %q does not contain %q", name, message, want)
			}
		}
	}
}

// The cache holds no key of a tenant, and distinguishes the contents.
func TestStripSecret(t *testing.T) {
	t.Parallel()
	secret := func(data map[string][]byte) *corev1.Secret {
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Name: names.SidecarName, Namespace: "web", Labels: map[string]string{names.LabelTenant: "client-a", "other": "x"},
				Annotations: map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "secret-key"},
			},
			Type: corev1.SecretTypeOpaque, Data: data,
		}
	}
	seen := map[string]bool{}
	for _, data := range []map[string][]byte{
		{"tls.key": []byte("secret-key")}, {"tls.key": []byte("secret-kez")}, {"tls.ke": []byte("ysecret-key")}, {"tls.key": []byte("secret"), "-key": {}}, {},
	} {
		got, err := keepWhatIsRead(secret(data))
		stripped, isSecret := got.(*corev1.Secret)
		if err != nil || !isSecret {
			t.Fatalf("%T, error %v", got, err)
		}
		if len(stripped.Data) != 1 || len(stripped.Data[digestKey]) != 32 || stripped.StringData != nil || stripped.Annotations != nil {
			t.Errorf("the cache holds %v, %v", stripped.Data, stripped.Annotations)
		}
		seen[string(stripped.Data[digestKey])] = true
		if stripped.Labels[names.LabelTenant] != "client-a" || stripped.Name != names.SidecarName || stripped.Type != corev1.SecretTypeOpaque {
			t.Errorf("a part that is compared is missing: %v", stripped)
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d of 5 contents are distinguished", len(seen))
	}
}
