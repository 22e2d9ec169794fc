package controller

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/names"
)

// identity is what the sidecars of a tenant prove the tenant with, in PEM.
type identity struct {
	certificate, key []byte
	// authority is the certificate of the authority that issued it.
	authority []byte
	notAfter  time.Time
}

// parseIdentity reads the Secret that cert-manager wrote for a tenant. The Secret may
// be that of the tenant that had the port before: only the certificate shows whose it
// is.
func parseIdentity(secret *corev1.Secret, tenant string, now time.Time) (*identity, error) {
	id := &identity{
		certificate: secret.Data[corev1.TLSCertKey], key: secret.Data[corev1.TLSPrivateKeyKey], authority: secret.Data[cmmeta.TLSCAKey],
	}
	pair, err := tls.X509KeyPair(id.certificate, id.key)
	if err != nil {
		return nil, fmt.Errorf("its Secret has no certificate with a key: %w", err)
	}
	leaf := pair.Leaf
	switch {
	case leaf.Subject.CommonName != tenant || !slices.Equal(leaf.Subject.Organization, []string{names.CertificateOrganization}):
		return nil, fmt.Errorf("its Secret has a certificate of %q still, not of the tenant", leaf.Subject.CommonName)
	case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return nil, errors.New("its Secret has a certificate that is not for client authentication")
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("its certificate expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	case len(id.authority) == 0:
		return nil, fmt.Errorf("its Secret has no certificate of the authority (%s)", cmmeta.TLSCAKey)
	}
	id.notAfter = leaf.NotAfter
	return id, nil
}

const (
	// issueGrace is the time that cert-manager has for a new Certificate. It takes a
	// second or two.
	issueGrace = 30 * time.Second
	// renewalGrace is the time that it has for a renewal, after which seven hours are
	// left to find out why it is missing.
	renewalGrace = time.Hour
)

// judgeIssue returns what is known about the issue of a tenant's Certificate. The
// identity is nil if its Secret could not be used because of the error. A renewal that
// failed or is late is a fault, although pods keep the former certificate for some
// hours.
func judgeIssue(certificate *certmanagerv1.Certificate, id *identity, unusable error, now time.Time) (names.Reason, string) {
	key := certificate.Namespace + "/" + certificate.Name
	help := fmt.Sprintf("Look at it (kubectl -n %s describe certificate %s), and whether cert-manager runs", certificate.Namespace, certificate.Name)
	failed, answer := certificate.Status.FailedIssuanceAttempts != nil, certManagerAnswer(certificate)
	switch {
	case id != nil && !failed && id.notAfter.Sub(now) > certificateRenewal-renewalGrace:
		return names.ReasonSidecarReady, "Certificate " + key + " is issued"
	case id != nil:
		return names.ReasonCertificateNotIssued, fmt.Sprintf("cert-manager does not renew Certificate %s, pods keep the former one until it expires: %s. %s", key, answer, help)
	case !failed && now.Sub(certificate.CreationTimestamp.Time) < issueGrace:
		return names.ReasonCertificatePending, "cert-manager is issuing Certificate " + key
	}
	return names.ReasonCertificateNotIssued, fmt.Sprintf("cert-manager has not issued Certificate %s, so the sidecars of the tenant's pods answer 503: %s (%s). %s", key, answer, unusable, help)
}

// certManagerAnswer returns the message of cert-manager about a Certificate.
func certManagerAnswer(certificate *certmanagerv1.Certificate) string {
	answer := "cert-manager has not answered"
	for _, kind := range []certmanagerv1.CertificateConditionType{certmanagerv1.CertificateConditionReady, certmanagerv1.CertificateConditionIssuing} {
		for _, condition := range certificate.Status.Conditions {
			if condition.Type == kind && condition.Message != "" && (kind == certmanagerv1.CertificateConditionIssuing || condition.Status != cmmeta.ConditionTrue) {
				answer = condition.Message
			}
		}
	}
	return answer
}
