package names

// Condition types of an EgressTenant.
const (
	// ConditionReady is true if the spec is valid, no other tenant has the same
	// port, or pods of this one alone are admitted to it, the NetworkPolicy is in sync
	// in all of the tenant's namespaces, none of these is protected, the proxy serves
	// the tenant, its Service leads to the proxy, and the sidecars of its pods, if it
	// uses them, have a certificate.
	ConditionReady = "Ready"
	// ConditionPolicyApplied is true if the NetworkPolicy is in sync in every
	// namespace of the tenant.
	ConditionPolicyApplied = "PolicyApplied"
	// ConditionGuarded is true if every guard of the chart that is on by default has
	// a binding, so that admins of namespaces cannot open them.
	ConditionGuarded = "Guarded"
	// ConditionProxyReachable is true if a proxy serves the tenant's Revision on the
	// tenant's port, and no proxy serves another one. The leader asks every 2 s.
	ConditionProxyReachable = "ProxyReachable"
	// ConditionServiceReady is true if the tenant's Service leads to the proxy, at the
	// address that its pods have. Tenants whose pods need none do not have it.
	ConditionServiceReady = "ServiceReady"
	// ConditionSidecarReady is true if the tenant's certificate is issued, and in every
	// namespace of the tenant. Only tenants with spec.sidecar have it.
	ConditionSidecarReady = "SidecarReady"
)
