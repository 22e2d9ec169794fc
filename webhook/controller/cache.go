package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// syncWait bounds how long a readiness probe waits for the caches. The kubelet
// waits 3 s for the probe, as the chart configures it.
const syncWait = 500 * time.Millisecond

// CacheOptions restrict a manager's cache to the objects that the webhook
// reads. Of the NetworkPolicies of other clients it holds only whether they have
// egress rules, and of Services only names and addresses, except for those in the
// namespace of the webhook. It holds the endpoints of these and of the API
// server, the bindings of the guards, and no managed fields. Of Secrets it holds those
// of sidecars, without their contents, on the leader alone.
func CacheOptions(namespace string) cache.Options {
	return cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			// The rights of the webhook are restricted to this name.
			&corev1.Secret{}:             {Field: fields.OneTermEqualSelector("metadata.name", names.SidecarName)},
			&corev1.Service{}:            {Transform: keepServices(namespace)},
			&discoveryv1.EndpointSlice{}: endpointSlices(namespace),
			&admissionregistrationv1.ValidatingAdmissionPolicyBinding{}: {
				Label: labels.SelectorFromSet(labels.Set{names.ChartLabel: names.ChartName}),
			},
		},
		DefaultTransform: keepWhatIsRead,
		// Reading a kind that StartInformers does not list is a defect: an
		// admission request would wait for the first list of that kind.
		ReaderFailOnMissingInformer: true,
	}
}

// ClientOptions let a manager's client read policies of network plug-ins from the
// cache. It would otherwise send a request for each read of an object without a Go
// type.
func ClientOptions() client.Options {
	return client.Options{Cache: &client.CacheOptions{Unstructured: true}}
}

// StartInformers registers the kinds that admission and the controllers read.
// The cache holds their objects on every replica, from the start of the manager
// on. The plugins are further kinds. Call it before the manager starts.
func StartInformers(ctx context.Context, informers cache.Informers, plugins []PolicyKind) error {
	type kind struct {
		kind   string
		object client.Object
	}
	kinds := []kind{
		{"Namespace", &corev1.Namespace{}},
		{"Service", &corev1.Service{}},
		{"NetworkPolicy", &networkingv1.NetworkPolicy{}},
		{"EndpointSlice", &discoveryv1.EndpointSlice{}},
		{"ValidatingAdmissionPolicyBinding", &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}},
		{names.KindEgressTenant, &v1alpha1.EgressTenant{}},
	}
	for _, plugin := range plugins {
		kinds = append(kinds, kind{plugin.Kind, plugin.object()})
	}
	for _, watched := range kinds {
		_, err := informers.GetInformer(ctx, watched.object)
		switch {
		case meta.IsNoMatchError(err):
			return fmt.Errorf("the API server does not know the kind %s: install the chart's crds/ (kubectl apply --server-side --filename charts/egress-webhook/crds), or wait until the definition is established: %w", watched.kind, err)
		case err != nil:
			return fmt.Errorf("watching objects of kind %s: %w", watched.kind, err)
		}
	}
	return nil
}

// CachesSynced is a readiness check. It fails until every informer has received
// all objects of the API server.
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
