package names

// Metrics of the webhook, in the cluster.
const (
	MetricPodAdmissions        = "egress_webhook_pod_admissions_total"
	MetricPodAdmissionDuration = "egress_webhook_pod_admission_duration_seconds"

	MetricBuildInfo               = "egress_webhook_build_info"
	MetricPolicyChanges           = "egress_webhook_policy_changes_total"
	MetricTenants                 = "egress_webhook_tenants"
	MetricUnknownTenantNamespaces = "egress_webhook_unknown_tenant_namespaces"
)

// Metrics of the proxy's tenants, on TenantMetricsPort.
const (
	MetricRequests           = "egress_proxy_requests_total"
	MetricDenials            = "egress_proxy_denials_total"
	MetricWouldBeDenials     = "egress_proxy_would_be_denials_total"
	MetricReceivedBytes      = "egress_proxy_received_from_clients_bytes_total"
	MetricSentBytes          = "egress_proxy_sent_to_clients_bytes_total"
	MetricUnreadableLines    = "egress_proxy_audit_unreadable_lines_total"
)

// Metrics of the proxy machine and its configuration, on MachineMetricsPort.
const (
	MetricRefusedConnections = "egress_proxy_refused_connections_total"

	MetricConfigFetched = "egress_proxy_config_fetched"
	MetricConfigRefused = "egress_proxy_config_refused"
	MetricConfigLive    = "egress_proxy_config_live_timestamp_seconds"
	MetricConfigLastRun = "egress_proxy_config_last_run_timestamp_seconds"
	MetricDiskFree      = "egress_proxy_disk_free_bytes"
	MetricDiskSize      = "egress_proxy_disk_size_bytes"
)
