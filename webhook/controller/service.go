package controller

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applydiscoveryv1 "k8s.io/client-go/applyconfigurations/discovery/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// servicePortName is the name of the port of a Service and of its EndpointSlice, by
// which Kubernetes matches the two.
const servicePortName = "proxy"

// needsService reports whether pods of the tenant may reach the proxy by its port. Those
// with sidecars do if they are older than spec.sidecar.
func needsService(tenant *v1alpha1.EgressTenant, identity v1alpha1.Identity) bool {
	return tenant.Spec.IsProxied() && tenant.Spec.Proxy != nil && identity != v1alpha1.IdentityRequired
}

// tenantService returns the Service of a tenant: without a selector, so that its
// EndpointSlice has the addresses of machines. An empty address lets the API server
// choose one.
func tenantService(tenant *v1alpha1.EgressTenant, namespace, address string, family corev1.IPFamily) *applycorev1.ServiceApplyConfiguration {
	spec := applycorev1.ServiceSpec().
		WithType(corev1.ServiceTypeClusterIP).
		WithIPFamilyPolicy(corev1.IPFamilyPolicySingleStack).WithIPFamilies(family).
		WithPorts(applycorev1.ServicePort().WithName(servicePortName).WithProtocol(corev1.ProtocolTCP).
			WithPort(names.ServicePort).WithTargetPort(intstr.FromInt32(tenant.Spec.ProxyPort())))
	if address != "" {
		spec = spec.WithClusterIP(address).WithClusterIPs(address)
	}
	return applycorev1.Service(names.TenantService(tenant.Name), namespace).
		WithLabels(tenantLabels(tenant)).WithOwnerReferences(ownedBy(tenant)).WithSpec(spec)
}

// tenantSlice returns the EndpointSlice of the tenant's Service: the tenant's port of
// the machines.
func tenantSlice(tenant *v1alpha1.EgressTenant, namespace string, machines []netip.Addr) *applydiscoveryv1.EndpointSliceApplyConfiguration {
	labels := tenantLabels(tenant)
	labels[discoveryv1.LabelServiceName] = names.TenantService(tenant.Name)
	labels[discoveryv1.LabelManagedBy] = names.FieldOwner
	slice := applydiscoveryv1.EndpointSlice(names.TenantService(tenant.Name), namespace).
		WithLabels(labels).WithOwnerReferences(ownedBy(tenant)).
		WithAddressType(addressType(machines[0])).
		WithPorts(applydiscoveryv1.EndpointPort().WithName(servicePortName).WithProtocol(corev1.ProtocolTCP).WithPort(tenant.Spec.ProxyPort()))
	for _, machine := range machines {
		slice = slice.WithEndpoints(applydiscoveryv1.Endpoint().WithAddresses(machine.String()).
			WithConditions(applydiscoveryv1.EndpointConditions().WithReady(true)))
	}
	return slice
}

func tenantLabels(tenant *v1alpha1.EgressTenant) map[string]string {
	return map[string]string{names.LabelTenant: tenant.Name, names.ChartLabel: names.ChartName}
}

// ownedBy lets the garbage collector delete an object after the tenant, which stays
// until no namespace has its label.
func ownedBy(tenant *v1alpha1.EgressTenant) *applymetav1.OwnerReferenceApplyConfiguration {
	return applymetav1.OwnerReference().WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind(names.KindEgressTenant).
		WithName(tenant.Name).WithUID(tenant.UID)
}

func ipFamily(address netip.Addr) corev1.IPFamily {
	if address.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

func addressType(address netip.Addr) discoveryv1.AddressType {
	return discoveryv1.AddressType(ipFamily(address))
}

// ofOneFamily returns the machines with addresses of the first one's family: a Service
// of one address leads to endpoints of its own family.
func ofOneFamily(machines []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(machines), func(m netip.Addr) bool { return m.Is4() != machines[0].Is4() })
}

// serviceInSync reports whether a Service leads to the tenant's EndpointSlice alone, and
// nowhere else. Fields of topology, such as trafficDistribution, are the administrator's.
func serviceInSync(observed *corev1.Service, tenant *v1alpha1.EgressTenant) bool {
	return belongsTo(observed, tenant) && equality.Semantic.DeepEqual(observed.Spec, repairedSpec(observed, tenant))
}

// repairedSpec returns the spec of a Service with the fields that decide about its
// endpoints.
func repairedSpec(observed *corev1.Service, tenant *v1alpha1.EgressTenant) corev1.ServiceSpec {
	spec := *observed.Spec.DeepCopy()
	spec.Type, spec.Selector, spec.ExternalIPs = corev1.ServiceTypeClusterIP, nil, nil
	if spec.InternalTrafficPolicy != nil {
		// Machines are on no node: with Local, there would be no endpoint.
		spec.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyCluster)
	}
	spec.Ports = []corev1.ServicePort{{
		Name: servicePortName, Protocol: corev1.ProtocolTCP, Port: names.ServicePort, TargetPort: intstr.FromInt32(tenant.Spec.ProxyPort()),
	}}
	return spec
}

// belongsTo reports whether an object has the labels and the owner of the tenant's.
func belongsTo(object metav1.Object, tenant *v1alpha1.EgressTenant) bool {
	for name, value := range tenantLabels(tenant) {
		if object.GetLabels()[name] != value {
			return false
		}
	}
	return isOwnedBy(object, tenant)
}

func isOwnedBy(object metav1.Object, tenant *v1alpha1.EgressTenant) bool {
	return slices.ContainsFunc(object.GetOwnerReferences(), func(owner metav1.OwnerReference) bool { return owner.UID == tenant.UID })
}

// sliceInSync reports whether an EndpointSlice leads to the tenant's port of exactly the
// machines.
func sliceInSync(observed *discoveryv1.EndpointSlice, tenant *v1alpha1.EgressTenant, machines []netip.Addr) bool {
	if observed == nil || !belongsTo(observed, tenant) || observed.Labels[discoveryv1.LabelServiceName] != names.TenantService(tenant.Name) ||
		observed.Labels[discoveryv1.LabelManagedBy] != names.FieldOwner || len(observed.Ports) != 1 || len(observed.Endpoints) != len(machines) {
		return false
	}
	port := &observed.Ports[0]
	if port.Name == nil || *port.Name != servicePortName || port.Port == nil || *port.Port != tenant.Spec.ProxyPort() ||
		port.Protocol == nil || *port.Protocol != corev1.ProtocolTCP {
		return false
	}
	for i := range observed.Endpoints {
		endpoint := &observed.Endpoints[i]
		ready := endpoint.Conditions.Ready != nil && *endpoint.Conditions.Ready
		if !ready || !slices.Equal(endpoint.Addresses, []string{machines[i].String()}) {
			return false
		}
	}
	return true
}
