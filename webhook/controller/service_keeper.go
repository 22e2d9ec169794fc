package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

// addressRetry is the time after which the API server is asked again for the address of
// a Service that it refused.
const addressRetry = 10 * time.Second

// TenantServices keeps the Service of each tenant in the namespace of the webhook, and
// the EndpointSlice with the machines of the proxy behind it. It belongs to
// TenantReconciler.
type TenantServices struct {
	client       client.Client
	namespace    string
	machines     []netip.Addr // of one family
	spare        netip.Addr   // invalid if there is none
	identity     v1alpha1.Identity
	reachability Reachability
}

// NewTenantServices returns TenantServices that read from the cache of the client, and
// lead to the proxies. reachability is nil if the proxies are not asked: all of them are
// endpoints then, but for the spare.
func NewTenantServices(c client.Client, namespace string, proxy *settings.Proxy, reachability Reachability) *TenantServices {
	spare := proxy.Spare
	if reachability == nil {
		reachability, spare = alwaysReachable{}, netip.Addr{}
	}
	return &TenantServices{client: c, namespace: namespace, machines: ofOneFamily(proxy.Addresses), spare: spare, identity: proxy.Identity, reachability: reachability}
}

// serviceState is what is known about the Service of a tenant.
type serviceState struct {
	// address is that of pods, which stays while the Service is missing. It is empty for
	// a tenant that never had a Service.
	address string
	reason  names.Reason
	message string
}

// isReady reports whether the Service leads to the proxy at its address.
func (s *serviceState) isReady() bool { return s.reason == names.ReasonServiceReady }

// condition returns the condition ServiceReady.
func (s *serviceState) condition() metav1.Condition {
	condition := metav1.Condition{Type: names.ConditionServiceReady, Status: metav1.ConditionFalse, Reason: string(s.reason), Message: s.message}
	if s.isReady() {
		condition.Status = metav1.ConditionTrue
	}
	return condition
}

// keep creates, repairs or removes the Service and the EndpointSlice of a tenant. The
// state is nil if the tenant needs none. It is also returned with an error.
func (s *TenantServices) keep(ctx context.Context, tenant *v1alpha1.EgressTenant) (*serviceState, error) {
	service, slice, err := s.observe(ctx, tenant.Name)
	if err != nil {
		return s.failed(tenant, err), err
	}
	if !needsService(tenant, s.identity) {
		return nil, s.remove(ctx, tenant, service, slice)
	}
	if len(tenant.Validate()) > 0 {
		// Pods that run keep their way to the port of before.
		return s.unchanged(tenant, service), nil
	}
	if err := refuseOthers(tenant, service, slice); err != nil {
		return s.failed(tenant, err), err
	}
	machines, found := endpoints(s.machines, s.spare, addressesIn(slice), tenant.Spec.ProxyPort(), s.reachability)
	// The endpoints come first: connections to a Service without any are refused.
	if !sliceInSync(slice, tenant, machines) {
		if err := s.apply(ctx, tenant, machines); err != nil {
			return s.failed(tenant, err), err
		}
	}
	address, err := s.keepService(ctx, tenant, service)
	switch {
	case isRefusedAddress(err, tenant):
		return s.unavailable(ctx, tenant, err), nil
	case err != nil:
		return s.failed(tenant, err), err
	}
	return s.ready(tenant, address, machines, found), nil
}

// observe reads the Service and the EndpointSlice of a tenant, nil for those that do not
// exist.
func (s *TenantServices) observe(ctx context.Context, tenant string) (*corev1.Service, *discoveryv1.EndpointSlice, error) {
	key := client.ObjectKey{Namespace: s.namespace, Name: names.TenantService(tenant)}
	service, slice := &corev1.Service{}, &discoveryv1.EndpointSlice{}
	err := s.client.Get(ctx, key, service)
	if client.IgnoreNotFound(err) != nil {
		return nil, nil, fmt.Errorf("reading Service %s: %w", key, err)
	}
	if err != nil {
		service = nil
	}
	err = s.client.Get(ctx, key, slice)
	if client.IgnoreNotFound(err) != nil {
		return nil, nil, fmt.Errorf("reading EndpointSlice %s: %w", key, err)
	}
	if err != nil {
		slice = nil
	}
	return service, slice, nil
}

// apply writes the EndpointSlice.
func (s *TenantServices) apply(ctx context.Context, tenant *v1alpha1.EgressTenant, machines []netip.Addr) error {
	wanted := tenantSlice(tenant, s.namespace, machines)
	if err := s.client.Apply(ctx, wanted, client.FieldOwner(names.FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("applying EndpointSlice %s/%s: %w", s.namespace, *wanted.Name, err)
	}
	ctrl.LoggerFrom(ctx).Info("EndpointSlice of a tenant applied", "endpointSlice", *wanted.Name, "machines", machines)
	return nil
}

// keepService creates or repairs the Service, and returns its address.
func (s *TenantServices) keepService(ctx context.Context, tenant *v1alpha1.EgressTenant, observed *corev1.Service) (address string, err error) {
	kept := tenant.Status.ServiceIP
	switch {
	case observed == nil:
		return s.create(ctx, tenant, kept)
	case observed.DeletionTimestamp != nil:
		return "", fmt.Errorf("the Service %s/%s is being deleted: it comes back when that is done", observed.Namespace, observed.Name)
	case kept != "" && observed.Spec.ClusterIP != kept, !hasAddress(observed):
		// An address never changes. Another client created the Service.
		if err := s.client.Delete(ctx, observed, client.Preconditions{UID: &observed.UID}); client.IgnoreNotFound(err) != nil {
			return "", fmt.Errorf("deleting Service %s/%s, which has another address than the tenant's pods: %w", observed.Namespace, observed.Name, err)
		}
		return s.create(ctx, tenant, kept)
	case serviceInSync(observed, tenant):
		return observed.Spec.ClusterIP, nil
	}
	return observed.Spec.ClusterIP, s.repair(ctx, tenant, observed)
}

// hasAddress reports whether pods can connect to a Service: not to a headless one, nor to one
// of type ExternalName.
func hasAddress(service *corev1.Service) bool {
	_, err := netip.ParseAddr(service.Spec.ClusterIP)
	return err == nil
}

// refuseOthers returns an error if the Service or the EndpointSlice is that of another tenant:
// the names of Services are shorter than those of tenants may be. Neither is written then.
func refuseOthers(tenant *v1alpha1.EgressTenant, service *corev1.Service, slice *discoveryv1.EndpointSlice) error {
	var errs []error
	refuse := func(kind string, object metav1.Object) {
		holder := object.GetLabels()[names.LabelTenant]
		if holder != "" && holder != tenant.Name && !isOwnedBy(object, tenant) { // another client may have edited the label
			errs = append(errs, fmt.Errorf("the %s %s/%s belongs to tenant %s: rename one of the two tenants", kind, object.GetNamespace(), object.GetName(), holder))
		}
	}
	if service != nil {
		refuse("Service", service)
	}
	if slice != nil {
		refuse("EndpointSlice", slice)
	}
	return errors.Join(errs...)
}

func (s *TenantServices) create(ctx context.Context, tenant *v1alpha1.EgressTenant, address string) (string, error) {
	wanted := tenantService(tenant, s.namespace, address, ipFamily(s.machines[0]))
	if err := s.client.Apply(ctx, wanted, client.FieldOwner(names.FieldOwner), client.ForceOwnership); err != nil {
		return "", fmt.Errorf("applying Service %s/%s: %w", s.namespace, *wanted.Name, err)
	}
	if wanted.Spec == nil || wanted.Spec.ClusterIP == nil || *wanted.Spec.ClusterIP == corev1.ClusterIPNone {
		return "", fmt.Errorf("the API server gave Service %s/%s no address", s.namespace, names.TenantService(tenant.Name))
	}
	ctrl.LoggerFrom(ctx).Info("Service of a tenant created", "service", names.TenantService(tenant.Name), "address", *wanted.Spec.ClusterIP)
	return *wanted.Spec.ClusterIP, nil
}

// repair undoes changes of other clients. Server-side apply would leave a selector that
// another client added.
func (s *TenantServices) repair(ctx context.Context, tenant *v1alpha1.EgressTenant, observed *corev1.Service) error {
	repaired := observed.DeepCopy()
	if repaired.Labels == nil {
		repaired.Labels = map[string]string{}
	}
	maps.Copy(repaired.Labels, tenantLabels(tenant))
	repaired.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: names.KindEgressTenant, Name: tenant.Name, UID: tenant.UID,
	}}
	repaired.Spec = repairedSpec(observed, tenant)
	if err := s.client.Update(ctx, repaired, client.FieldOwner(names.FieldOwner)); err != nil {
		return fmt.Errorf("repairing Service %s/%s: %w", observed.Namespace, observed.Name, err)
	}
	ctrl.LoggerFrom(ctx).Info("Service of a tenant repaired", "service", observed.Name)
	return nil
}

// remove deletes the Service and the EndpointSlice of a tenant that needs none.
func (s *TenantServices) remove(ctx context.Context, tenant *v1alpha1.EgressTenant, service *corev1.Service, slice *discoveryv1.EndpointSlice) error {
	var errs []error
	if service != nil && belongsTo(service, tenant) {
		errs = append(errs, client.IgnoreNotFound(s.client.Delete(ctx, service, client.Preconditions{UID: &service.UID})))
	}
	if slice != nil && belongsTo(slice, tenant) {
		errs = append(errs, client.IgnoreNotFound(s.client.Delete(ctx, slice, client.Preconditions{UID: &slice.UID})))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("deleting the Service of tenant %s: %w", tenant.Name, err)
	}
	return nil
}

// isRefusedAddress reports whether the API server refuses the address that the tenant's
// pods have.
func isRefusedAddress(err error, tenant *v1alpha1.EgressTenant) bool {
	return tenant.Status.ServiceIP != "" && apierrors.IsInvalid(err)
}

func (s *TenantServices) ready(tenant *v1alpha1.EgressTenant, address string, machines []netip.Addr, found bool) *serviceState {
	list := make([]string, 0, len(machines))
	for _, machine := range machines {
		list = append(list, machine.String())
	}
	message := fmt.Sprintf("The Service %s/%s leads to port %d of %s", s.namespace, names.TenantService(tenant.Name), tenant.Spec.ProxyPort(), strings.Join(list, ", "))
	if !found {
		message += ", of which not one answers"
	}
	return &serviceState{address: address, reason: names.ReasonServiceReady, message: message}
}

func (s *TenantServices) failed(tenant *v1alpha1.EgressTenant, err error) *serviceState {
	return &serviceState{
		address: tenant.Status.ServiceIP, reason: names.ReasonServiceNotWritten,
		message: "The Service by which the tenant's pods reach the proxy could not be written: " + err.Error(),
	}
}

// unchanged is the state of a tenant whose spec is not valid.
func (s *TenantServices) unchanged(tenant *v1alpha1.EgressTenant, service *corev1.Service) *serviceState {
	state := &serviceState{address: tenant.Status.ServiceIP, reason: names.ReasonServiceNotWritten, message: "The spec is not valid: see the condition Ready"}
	if service != nil && service.Spec.ClusterIP == state.address {
		state.reason, state.message = names.ReasonServiceReady, fmt.Sprintf("The Service %s/%s stays as it is, because the spec is not valid", service.Namespace, service.Name)
	}
	return state
}

// unavailable is the state of a tenant whose pods have an address that the API server
// refuses for the Service.
func (s *TenantServices) unavailable(ctx context.Context, tenant *v1alpha1.EgressTenant, cause error) *serviceState {
	address := tenant.Status.ServiceIP
	message := fmt.Sprintf("The tenant's Service cannot have its address %s again, so pods that have it do not reach the proxy", address)
	if holder := s.holderOf(ctx, address); holder != "" {
		message += fmt.Sprintf(": delete the Service %s, which has it", holder)
	} else {
		message += ": " + cause.Error()
	}
	message += fmt.Sprintf(". Or clear status.serviceIP, for another address (kubectl patch et %s --subresource=status --type=merge --patch '{\"status\":{\"serviceIP\":null}}'), and create the pods again", tenant.Name)
	return &serviceState{address: address, reason: names.ReasonServiceAddressUnavailable, message: message}
}

// holderOf returns the Service that has an address, as NAMESPACE/NAME, "" if there is
// none in the cache.
func (s *TenantServices) holderOf(ctx context.Context, address string) string {
	var services corev1.ServiceList
	if err := s.client.List(ctx, &services, client.UnsafeDisableDeepCopy); err != nil {
		return ""
	}
	for i := range services.Items {
		if slices.Contains(services.Items[i].Spec.ClusterIPs, address) {
			return services.Items[i].Namespace + "/" + services.Items[i].Name
		}
	}
	return ""
}
