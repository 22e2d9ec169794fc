package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/inject"
)

// Neighbours finds the neighbours of tenants' namespaces in the caches of namespaces
// and Services. It keeps them until one of these changes, because admission asks for
// every pod.
type Neighbours struct {
	cache     client.Reader
	protected sets.Set[string]

	namespaces memo[string, []string] // of a tenant
	neighbours memo[tenantNamespace, *inject.Neighbours]
}

type tenantNamespace struct{ tenant, namespace string }

// NewNeighbours returns Neighbours that read from the reader, which must be that of
// the informers. Protected namespaces belong to no tenant.
func NewNeighbours(ctx context.Context, informers cache.Informers, reader client.Reader, protected sets.Set[string]) (*Neighbours, error) {
	n := &Neighbours{cache: reader, protected: protected}
	for _, watched := range []struct {
		object   client.Object
		handlers toolscache.ResourceEventHandler
	}{
		{&corev1.Namespace{}, onChange(n.namespaceChanged, sameTenant)},
		{&corev1.Service{}, onChange(n.serviceChanged, sameAddresses)},
	} {
		informer, err := informers.GetInformer(ctx, watched.object)
		if err != nil {
			return nil, fmt.Errorf("watching objects of type %T: %w", watched.object, err)
		}
		if _, err := informer.AddEventHandler(watched.handlers); err != nil {
			return nil, fmt.Errorf("watching objects of type %T: %w", watched.object, err)
		}
	}
	return n, nil
}

// onChange returns handlers that call changed for objects that are added or deleted,
// and for both states of one that is updated, unless they are the same.
func onChange[T client.Object](changed func(T), same func(a, b T) bool) toolscache.ResourceEventHandler {
	one := func(object any) {
		if deleted, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
			object = deleted.Obj
		}
		if typed, ok := object.(T); ok {
			changed(typed)
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: one, DeleteFunc: one,
		UpdateFunc: func(before, after any) {
			was, isTyped := before.(T)
			is, alsoTyped := after.(T)
			if isTyped && alsoTyped && !same(was, is) {
				changed(was)
				changed(is)
			}
		},
	}
}

func sameTenant(a, b *corev1.Namespace) bool {
	return a.Labels[names.LabelTenant] == b.Labels[names.LabelTenant]
}

func sameAddresses(a, b *corev1.Service) bool {
	return slices.Equal(a.Spec.ClusterIPs, b.Spec.ClusterIPs)
}

func (n *Neighbours) namespaceChanged(namespace *corev1.Namespace) {
	tenant := namespace.Labels[names.LabelTenant]
	if tenant == "" {
		return
	}
	n.namespaces.forget(tenant)
	n.neighbours.clear() // those of all namespaces of the tenant
}

func (n *Neighbours) serviceChanged(service *corev1.Service) {
	n.neighbours.forgetIf(func(key tenantNamespace) bool { return key.namespace == service.Namespace })
}

// Of returns the neighbours of a namespace of the tenant. The result is the same as
// long as they are, and must not be changed.
func (n *Neighbours) Of(ctx context.Context, tenant, namespace string) (*inject.Neighbours, error) {
	key := tenantNamespace{tenant, namespace}
	known, changes, ok := n.neighbours.get(key)
	if ok {
		return known, nil
	}
	namespaces, err := n.namespacesOf(ctx, tenant)
	if err != nil {
		return nil, err
	}
	services, err := n.servicesOf(ctx, namespace)
	if err != nil {
		return nil, err
	}
	found := &inject.Neighbours{
		Namespaces: slices.DeleteFunc(slices.Clone(namespaces), func(name string) bool { return name == namespace }),
		Services:   services,
	}
	n.neighbours.put(key, found, changes)
	return found, nil
}

// maxNeighbours bounds the namespaces and the Services: with their separators, no more
// fit into NO_PROXY.
const maxNeighbours = noproxy.MaxBytes / 2

// namespacesOf returns the names of the tenant's namespaces, sorted.
func (n *Neighbours) namespacesOf(ctx context.Context, tenant string) ([]string, error) {
	known, changes, ok := n.namespaces.get(tenant)
	if ok {
		return known, nil
	}
	list, err := listNamespaces(ctx, n.cache, tenant)
	if err != nil {
		return nil, err
	}
	found := make([]string, 0, len(list))
	for i := range list {
		if !n.protected.Has(list[i].Name) {
			found = append(found, list[i].Name)
		}
	}
	slices.Sort(found)
	found = slices.Clip(found[:min(len(found), maxNeighbours)])
	n.namespaces.put(tenant, found, changes)
	return found, nil
}

// servicesOf returns the Services of a namespace, sorted by name.
func (n *Neighbours) servicesOf(ctx context.Context, namespace string) ([]inject.Service, error) {
	var list corev1.ServiceList
	if err := n.cache.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the Services of namespace %s: %w", namespace, err)
	}
	found := make([]inject.Service, 0, len(list.Items))
	for i := range list.Items {
		found = append(found, inject.Service{Name: list.Items[i].Name, ClusterIPs: list.Items[i].Spec.ClusterIPs})
	}
	slices.SortFunc(found, func(a, b inject.Service) int { return strings.Compare(a.Name, b.Name) })
	return found[:min(len(found), maxNeighbours)], nil
}
