package names

// The proxy listens for tenants in one fixed range, so that the firewall of the
// proxy machine does not change with the tenants. Squid is compiled to listen on
// 128 ports (MAXTCPLISTENPORTS) and ignores any further port silently: 127 are
// for tenants, and one is StatusPort.
const (
	TenantPortMin = 3129
	TenantPortMax = 3255
)

// Ports of the proxy machine beside those of the tenants. The firewall opens
// those with metrics to the Private Network.
const (
	// StatusPort answers each request with the state of the proxy: the tenants that
	// Squid serves (package proxystatus). It forwards nothing. On the loopback address,
	// it serves Squid's own statistics, too. It is Squid's usual port.
	StatusPort = 3128
	// TenantMetricsPort serves the tenants' metrics, which mtail computes from
	// the audit log.
	TenantMetricsPort = 3903
	// MachineMetricsPort serves the metrics of the machine and of its
	// configuration (Prometheus' node exporter).
	MachineMetricsPort = 9100
	// SquidMetricsPort serves Squid's own metrics.
	SquidMetricsPort = 9301
	// SidecarPort is for sidecars of pods: mutual TLS, in which a certificate
	// identifies the tenant.
	SidecarPort = 3443
)

// ServicePort is the port of every tenant's Service in the cluster, which leads to the
// tenant's port of the proxy machines. It is Squid's usual port.
const ServicePort = 3128

// Ports of the sidecar, in the pod.
const (
	// RelayPort is the port of the HTTP proxy, on the loopback address alone. It is
	// Squid's usual port.
	RelayPort = 3128
	// SidecarMetricsPort serves the sidecar's metrics, on the address of the pod.
	SidecarMetricsPort = 9303
)

// ReleaseOffset is added to a tenant's port P for the port on which the cluster
// releases P: a connection attempt to P + ReleaseOffset states that no NetworkPolicy
// admits pods to P. The firewall of the proxy machine records the attempt for some
// seconds and refuses it. Only then does the proxy serve another tenant on P.
//
// NetworkPolicies admit a tenant's pods to no such port, so that a tenant cannot
// release a port. 9129 to 9255 are not used otherwise.
const ReleaseOffset = 6000
