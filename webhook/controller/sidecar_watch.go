package controller

import (
	"context"
	"fmt"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// certificateSource returns the events about Certificates in a namespace, for the
// tenants of their labels. It has a cache of its own, of metadata alone, on the leader:
// that of the manager cannot be restricted to a namespace for a kind that the API
// server may not know. The error is NoMatch if it does not.
func certificateSource(mgr ctrl.Manager, namespace string) (source.Source, error) {
	kind := certmanagerv1.SchemeGroupVersion.WithKind(certmanagerv1.CertificateKind)
	if _, err := mgr.GetRESTMapper().RESTMapping(kind.GroupKind(), kind.Version); err != nil {
		return nil, fmt.Errorf("looking for the kind Certificate of cert-manager.io: %w", err)
	}
	certificates, err := cache.New(mgr.GetConfig(), cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		DefaultNamespaces: map[string]cache.Config{namespace: {}}, DefaultTransform: cache.TransformStripManagedFields(),
	})
	if err != nil {
		return nil, fmt.Errorf("watching Certificates: %w", err)
	}
	if err := mgr.Add(certificates); err != nil {
		return nil, fmt.Errorf("watching Certificates: %w", err)
	}
	certificate := &metav1.PartialObjectMetadata{}
	certificate.SetGroupVersionKind(kind)
	toTenant := func(ctx context.Context, certificate *metav1.PartialObjectMetadata) []reconcile.Request {
		return namespaceToTenant(ctx, certificate)
	}
	return source.Kind(certificates, certificate, handler.TypedEnqueueRequestsFromMapFunc(toTenant)), nil
}
