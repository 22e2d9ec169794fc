package controller

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"egress.scw/webhook/api/names"
)

// watch makes the controller reconcile a tenant when its Service or EndpointSlice
// changes. It does so at once: without its Service, a tenant has no egress.
func (s *TenantServices) watch(controlled *builder.Builder) {
	for _, object := range []client.Object{&corev1.Service{}, &discoveryv1.EndpointSlice{}} {
		controlled.Watches(object, handler.EnqueueRequestsFromMapFunc(s.toTenant))
	}
}

// toTenant maps an object in the namespace of the webhook to the tenant of its label.
func (s *TenantServices) toTenant(ctx context.Context, object client.Object) []reconcile.Request {
	if object.GetNamespace() != s.namespace {
		return nil
	}
	return namespaceToTenant(ctx, object)
}

// endpointSlices restrict the cache to the endpoints of the API server, and to those of
// the tenants' Services in the namespace of the webhook.
func endpointSlices(namespace string) cache.ByObject {
	restriction := cache.ByObject{Namespaces: map[string]cache.Config{metav1.NamespaceDefault: {
		LabelSelector: labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: apiServerService}),
	}}}
	if namespace == metav1.NamespaceDefault {
		// One selector cannot select both.
		restriction.Namespaces[namespace] = cache.Config{}
	} else if ofTenants, err := labels.NewRequirement(names.LabelTenant, selection.Exists, nil); err == nil {
		restriction.Namespaces[namespace] = cache.Config{LabelSelector: labels.NewSelector().Add(*ofTenants)}
	}
	return restriction
}

// keepServices returns a transform that reduces Services to what is read: names and
// addresses, and all of those in the namespace of the webhook. A Service of a tenant
// belongs to it by its name: one that lost its label has to be read to be repaired.
func keepServices(namespace string) toolscache.TransformFunc {
	return func(object any) (any, error) {
		if service, ok := object.(*corev1.Service); ok && service.Namespace == namespace {
			return cache.TransformStripManagedFields()(object)
		}
		return keepWhatIsRead(object)
	}
}
