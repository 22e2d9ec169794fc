package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

const (
	// certificateLife is short because certificates are not revoked: a copied one is
	// of use until it expires.
	certificateLife = 24 * time.Hour
	// certificateRenewal is the time before the end at which cert-manager issues the
	// next certificate: a third of the life, in which cert-manager may be away.
	certificateRenewal = 8 * time.Hour
)

// tenantCertificate returns the Certificate of a tenant, in the namespace of the
// Issuer. The garbage collector deletes it with the tenant.
func tenantCertificate(tenant *v1alpha1.EgressTenant, namespace string) *certmanagerv1.Certificate {
	name := names.SidecarCertificate(tenant.Spec.ProxyPort())
	labels := map[string]string{names.LabelTenant: tenant.Name, names.ChartLabel: names.ChartName}
	return &certmanagerv1.Certificate{
		TypeMeta: metav1.TypeMeta{APIVersion: certmanagerv1.SchemeGroupVersion.String(), Kind: certmanagerv1.CertificateKind},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: namespace, Labels: labels,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: names.KindEgressTenant, Name: tenant.Name, UID: tenant.UID,
			}},
		},
		Spec: certmanagerv1.CertificateSpec{
			CommonName:     tenant.Name,
			Subject:        &certmanagerv1.X509Subject{Organizations: []string{names.CertificateOrganization}},
			SecretName:     name,
			SecretTemplate: &certmanagerv1.CertificateSecretTemplate{Labels: labels},
			Duration:       &metav1.Duration{Duration: certificateLife},
			RenewBefore:    &metav1.Duration{Duration: certificateRenewal},
			PrivateKey: &certmanagerv1.CertificatePrivateKey{
				Algorithm: certmanagerv1.ECDSAKeyAlgorithm, Size: 256, RotationPolicy: certmanagerv1.RotationPolicyAlways,
			},
			Usages:               []certmanagerv1.KeyUsage{certmanagerv1.UsageDigitalSignature, certmanagerv1.UsageClientAuth},
			IssuerRef:            cmmeta.IssuerReference{Group: certmanagerv1.SchemeGroupVersion.Group, Kind: certmanagerv1.IssuerKind, Name: names.SidecarIssuer},
			RevisionHistoryLimit: new(int32(1)),
		},
	}
}

// certificateInSync reports whether the observed Certificate is the wanted one.
func certificateInSync(observed, wanted *certmanagerv1.Certificate) bool {
	if observed == nil || !equality.Semantic.DeepEqual(observed.Spec, wanted.Spec) || !equality.Semantic.DeepEqual(observed.OwnerReferences, wanted.OwnerReferences) {
		return false
	}
	for name, value := range wanted.Labels {
		if observed.Labels[name] != value {
			return false
		}
	}
	return true
}

// certificates are the tenants' Certificates in the namespace of the Issuer. They
// are read from the API server: the webhook also runs while it does not know the
// kind.
type certificates struct {
	live      client.Reader
	writer    client.Writer
	namespace string
}

// errNoCertManager is the error of every operation while the API server does not
// know the kind Certificate.
var errNoCertManager = errors.New("the API server does not know the kind Certificate of cert-manager.io: install cert-manager with its CRDs")

// list returns the Certificates of a tenant.
func (c certificates) list(ctx context.Context, tenant string) ([]certmanagerv1.Certificate, error) {
	var list certmanagerv1.CertificateList
	err := c.live.List(ctx, &list, client.InNamespace(c.namespace), client.MatchingLabels{names.LabelTenant: tenant})
	switch {
	case isUnknownKind(err):
		return nil, errNoCertManager
	case err != nil:
		return nil, fmt.Errorf("listing the Certificates of tenant %s in %s: %w", tenant, c.namespace, err)
	}
	return list.Items, nil
}

// isUnknownKind reports whether the API server does not know the kind of a list: a
// list that it knows is never NotFound.
func isUnknownKind(err error) bool { return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) }

// removeOthers deletes the tenant's Certificates but the one of a name, which may be
// empty, and returns that one, nil if there is none.
func (c certificates) removeOthers(ctx context.Context, tenant, keep string) (*certmanagerv1.Certificate, error) {
	list, err := c.list(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var kept *certmanagerv1.Certificate
	for i := range list {
		certificate := &list[i]
		if certificate.Name == keep {
			kept = certificate
			continue
		}
		err := c.writer.Delete(ctx, certificate, client.Preconditions{UID: &certificate.UID})
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("deleting Certificate %s/%s: %w", certificate.Namespace, certificate.Name, err)
		}
	}
	return kept, nil
}

// apply writes the wanted Certificate, and returns it as the API server has it now.
func (c certificates) apply(ctx context.Context, wanted *certmanagerv1.Certificate) (*certmanagerv1.Certificate, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(wanted)
	if err != nil {
		return nil, fmt.Errorf("encoding Certificate %s/%s: %w", wanted.Namespace, wanted.Name, err)
	}
	delete(content, "status")
	stored := &unstructured.Unstructured{Object: content}
	if err := c.writer.Apply(ctx, client.ApplyConfigurationFromUnstructured(stored), client.FieldOwner(names.FieldOwner), client.ForceOwnership); err != nil {
		return nil, fmt.Errorf("applying Certificate %s/%s: %w", wanted.Namespace, wanted.Name, err)
	}
	certificate := &certmanagerv1.Certificate{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(stored.Object, certificate); err != nil {
		return nil, fmt.Errorf("decoding Certificate %s/%s: %w", wanted.Namespace, wanted.Name, err)
	}
	return certificate, nil
}

// own makes the Certificate the owner of the Secret that cert-manager wrote for it, so
// that the garbage collector deletes the key with the Certificate. cert-manager does
// so only if all of its Secrets shall be deleted like that.
func (c certificates) own(ctx context.Context, secret *corev1.Secret, certificate *certmanagerv1.Certificate) error {
	owner := metav1.OwnerReference{
		APIVersion: certmanagerv1.SchemeGroupVersion.String(), Kind: certmanagerv1.CertificateKind, Name: certificate.Name, UID: certificate.UID,
	}
	if slices.ContainsFunc(secret.OwnerReferences, func(present metav1.OwnerReference) bool { return present.UID == owner.UID }) {
		return nil
	}
	owned := secret.DeepCopy()
	owned.OwnerReferences = []metav1.OwnerReference{owner}
	patch := client.MergeFromWithOptions(secret, client.MergeFromWithOptimisticLock{})
	if err := c.writer.Patch(ctx, owned, patch); err != nil {
		return fmt.Errorf("making Certificate %s the owner of Secret %s/%s: %w", certificate.Name, secret.Namespace, secret.Name, err)
	}
	return nil
}
