package names

// Metrics of the webhook, in the cluster.
const (
	// MetricPodAdmissions is the number of admission requests, by decision (inject,
	// skip, deny, or error for an HTTP status) and reason.
	MetricPodAdmissions = "egress_webhook_pod_admissions_total"
	// MetricPodAdmissionDuration is a histogram of the time to answer one.
	MetricPodAdmissionDuration = "egress_webhook_pod_admission_duration_seconds"
	// MetricNamespaceAdmissions is the number of admission requests of namespaces that
	// get the tenant label, by decision and reason.
	MetricNamespaceAdmissions = "egress_webhook_namespace_admissions_total"
	// MetricNamespaceAdmissionDuration is a histogram of the time to answer one.
	MetricNamespaceAdmissionDuration = "egress_webhook_namespace_admission_duration_seconds"
	// MetricPolicyAdmissions is the number of requests to change the NetworkPolicy
	// of a tenant's namespace that were sent to the webhook, by decision and reason.
	// All of them are refused.
	MetricPolicyAdmissions = "egress_webhook_policy_admissions_total"
	// MetricPolicyAdmissionDuration is a histogram of the time to answer one.
	MetricPolicyAdmissionDuration = "egress_webhook_policy_admission_duration_seconds"

	// MetricBuildInfo is 1; its labels version and go_version describe the build.
	MetricBuildInfo = "egress_webhook_build_info"
	// MetricPolicyChanges is the number of NetworkPolicies that the webhook wrote or
	// removed, by change: created, repaired (it differed) or removed. A policy that
	// another client deleted is created again.
	MetricPolicyChanges = "egress_webhook_policy_changes_total"
	// MetricTenants is the number of EgressTenants, by the reason of their condition
	// Ready. Only the leader exports it.
	MetricTenants = "egress_webhook_tenants"
	// MetricUnknownTenantNamespaces is the number of namespaces with the label of a
	// tenant that does not exist. Only the leader exports it.
	MetricUnknownTenantNamespaces = "egress_webhook_unknown_tenant_namespaces"
	// MetricProxyReachable is 1 if a proxy serves the tenant's Revision on the
	// tenant's port, otherwise 0; by tenant and by the proxy's address.
	MetricProxyReachable = "egress_webhook_proxy_reachable"
	// MetricProxyUp is 1 if a proxy machine answers the leader on port 3128, or one of
	// an earlier version on a tenant's port, otherwise 0; by the proxy's address. Only the
	// leader exports it.
	MetricProxyUp = "egress_webhook_proxy_up"
)

// Metrics of bootstrap watch, in the cluster.
const (
	// MetricPlans is the number of plans that bootstrap watch has made, by result:
	// unchanged (there was nothing to do), applied, blocked (a step needs a flag that is
	// not set), or failed (no plan could be made, or a step failed).
	MetricPlans = "egress_bootstrap_plans_total"
	// MetricChanges is the number of steps that bootstrap watch has carried out, by kind
	// of resource and action (create, update, replace, delete).
	MetricChanges = "egress_bootstrap_changes_total"
	// MetricLastSuccess is the time of the last plan that was carried out or had nothing
	// to do; 0 if there was none since the start.
	MetricLastSuccess = "egress_bootstrap_last_success_timestamp_seconds"
	// MetricBlockedSteps is the number of steps of the last plan that need a flag that is
	// not set.
	MetricBlockedSteps = "egress_bootstrap_blocked_steps"
	// MetricTenantsLeftOut is the number of EgressTenants that the last plan left out,
	// because they are not valid beside the others.
	MetricTenantsLeftOut = "egress_bootstrap_tenants_left_out"
	// MetricValuesOutdated is 1 if the chart was installed with other addresses,
	// machines or CIDRs than those at Scaleway, otherwise 0.
	MetricValuesOutdated = "egress_bootstrap_values_outdated"
)

// Metrics of the proxy's tenants, on TenantMetricsPort.
const (
	// MetricRequests is the number of requests and tunnels that have ended, by tenant and
	// verdict.
	MetricRequests = "egress_proxy_requests_total"
	// MetricDenials is the number of denied requests and terminated tunnels, by tenant and
	// rule.
	MetricDenials = "egress_proxy_denials_total"
	// MetricWouldBeDenials is the number of requests that passed because of the mode Report,
	// by tenant and rule.
	MetricWouldBeDenials = "egress_proxy_would_be_denials_total"
	// MetricReceivedBytes is the number of bytes from the tenant's clients, by tenant.
	MetricReceivedBytes = "egress_proxy_received_from_clients_bytes_total"
	// MetricSentBytes is the number of bytes to the tenant's clients, by tenant.
	MetricSentBytes = "egress_proxy_sent_to_clients_bytes_total"
	// MetricUnreadableLines is the number of lines of the audit log that the other metrics do
	// not count.
	MetricUnreadableLines = "egress_proxy_audit_unreadable_lines_total"
	// MetricSidecarRefused is the number of connections and requests that the port for
	// sidecars refused, by reason: certificate-expired, unknown-authority, no-certificate,
	// unknown-tenant, connections (the tenant has the maximum number), http2 (no tunnel),
	// or request (it could not be parsed).
	MetricSidecarRefused = "egress_proxy_sidecar_refused_total"
)

// Metrics of the proxy machine and its configuration, on MachineMetricsPort.
const (
	// MetricRefusedConnections is the number of connections that were reset because their
	// tenant had the maximum number, by tenant.
	MetricRefusedConnections = "egress_proxy_refused_connections_total"
	// MetricPortClosed is 1 while a tenant's port is closed because it was the port
	// of another tenant, otherwise 0; by tenant.
	MetricPortClosed = "egress_proxy_port_closed"

	// MetricConfigFetched is 1 if the last attempt to fetch the configuration
	// succeeded, otherwise 0.
	MetricConfigFetched = "egress_proxy_config_fetched"
	// MetricConfigRefused is 1 while the fetched configuration is refused and an
	// older one is in use, otherwise 0.
	MetricConfigRefused = "egress_proxy_config_refused"
	// MetricConfigLive is the time since which the configuration is in use; 0 if
	// none is since the boot.
	MetricConfigLive = "egress_proxy_config_live_timestamp_seconds"
	// MetricConfigLastRun is the time of the last attempt to fetch the
	// configuration.
	MetricConfigLastRun = "egress_proxy_config_last_run_timestamp_seconds"
	// MetricSquidOutdated is 1 if Squid runs from a program or a library that an
	// upgrade has replaced, otherwise 0.
	MetricSquidOutdated = "egress_proxy_squid_outdated"
	// MetricSidecarsServed is 1 if HAProxy serves the sidecars of the squid.conf in use,
	// otherwise 0.
	MetricSidecarsServed = "egress_proxy_sidecars_served"
	// MetricDiskFree is the free space of the file system of the logs.
	MetricDiskFree = "egress_proxy_disk_free_bytes"
	// MetricDiskSize is the size of the file system of the logs.
	MetricDiskSize = "egress_proxy_disk_size_bytes"
)

// Metrics of a pod's sidecar, on SidecarMetricsPort.
const (
	// MetricSidecarRequests is the number of tunnels and of plain HTTP requests, by kind
	// (tunnel, http) and verdict: passed, denied (by the proxy), or failed (no machine
	// answered, or the request was not valid).
	MetricSidecarRequests = "egress_sidecar_requests_total"
	// MetricSidecarTunnels is the number of open tunnels.
	MetricSidecarTunnels = "egress_sidecar_tunnels"
	// MetricSidecarSentBytes is the number of bytes from the pod's programs into tunnels
	// that have ended.
	MetricSidecarSentBytes = "egress_sidecar_sent_bytes_total"
	// MetricSidecarReceivedBytes is the number of bytes to the pod's programs from tunnels
	// that have ended.
	MetricSidecarReceivedBytes = "egress_sidecar_received_bytes_total"
	// MetricSidecarMachineUsable is 0 while a proxy machine is passed over because it did
	// not answer, otherwise 1; by the machine's address.
	MetricSidecarMachineUsable = "egress_sidecar_machine_usable"
	// MetricSidecarConfigUsable is 1 if the files of the Secret are in use; 0 if they are
	// missing, or are refused and former ones are in use.
	MetricSidecarConfigUsable = "egress_sidecar_config_usable"
	// MetricSidecarCertificateExpiry is the time at which the tenant's certificate in use
	// expires; 0 if there is none.
	MetricSidecarCertificateExpiry = "egress_sidecar_certificate_expiry_timestamp_seconds"
	// MetricSidecarCapturedNames is the number of captured names that have an address, at
	// most 512 divided by the number of the tenant's ports. Only with capture.
	MetricSidecarCapturedNames = "egress_sidecar_captured_names"
	// MetricSidecarCapturedConnections is the number of open captured connections, at most
	// 1,024. Only with capture.
	MetricSidecarCapturedConnections = "egress_sidecar_captured_connections"
	// MetricSidecarBuildInfo is 1; its labels version and go_version describe the build.
	MetricSidecarBuildInfo = "egress_sidecar_build_info"
)
