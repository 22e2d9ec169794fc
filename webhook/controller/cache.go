package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// syncWait is how long a readiness probe waits for the caches. Kubelet's own
// patience is a second.
const syncWait = 500 * time.Millisecond

// CacheOptions restrict a manager's cache to what the webhook reads: of the
// NetworkPolicies only our own, of no object the managed fields.
func CacheOptions() cache.Options {
	return cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&networkingv1.NetworkPolicy{}: {Field: fields.OneTermEqualSelector(metav1.ObjectNameField, names.PolicyName)},
		},
		DefaultTransform: cache.TransformStripManagedFields(),
		// A read of anything that StartInformers does not name is a mistake:
		// it would block an admission request on a first list.
		ReaderFailOnMissingInformer: true,
	}
}

// StartInformers has the cache hold what admission handlers and controllers
// read, on every replica, from the start of the manager on. Call it before.
func StartInformers(ctx context.Context, informers cache.Informers) error {
	for _, object := range []client.Object{&corev1.Namespace{}, &networkingv1.NetworkPolicy{}, &v1alpha1.EgressTenant{}} {
		_, err := informers.GetInformer(ctx, object)
		switch {
		case meta.IsNoMatchError(err):
			return fmt.Errorf("the API server does not know %T (install the chart's crds/, or wait for the definition to be established): %w", object, err)
		case err != nil:
			return fmt.Errorf("watching %T: %w", object, err)
		}
	}
	return nil
}

// CachesSynced is a readiness check: it fails until every informer holds what
// the API server holds.
func CachesSynced(informers cache.Informers) healthz.Checker {
	return func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), syncWait)
		defer cancel()
		if !informers.WaitForCacheSync(ctx) {
			return errors.New("the caches are not synced with the API server yet")
		}
		return nil
	}
}
