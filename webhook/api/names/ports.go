package names

// The proxy listens for tenants in one fixed range, so that the firewall of the
// proxy machine does not change with the tenants. Squid is compiled to listen on
// 128 ports (MAXTCPLISTENPORTS) and ignores any further port silently: 127 are
// for tenants, and one, ProxyManagerPort, is for Squid's own statistics.
const (
	TenantPortMin = 3129
	TenantPortMax = 3255
)

// Ports of the proxy machine beside those of the tenants. The firewall opens
// those with metrics to the Private Network.
const (
	// ProxyManagerPort serves Squid's own pages, on the loopback address alone.
	// It is Squid's usual port.
	ProxyManagerPort = 3128
	// TenantMetricsPort serves the tenants' metrics, which mtail computes from
	// the audit log.
	TenantMetricsPort = 3903
	// MachineMetricsPort serves the metrics of the machine and of its
	// configuration (Prometheus' node exporter).
	MachineMetricsPort = 9100
	// SquidMetricsPort serves Squid's own metrics.
	SquidMetricsPort = 9301
)
