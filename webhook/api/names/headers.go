package names

// HeaderRevision is the response header in which Squid reports, on a tenant's
// port, the Revision of the tenant that it serves.
const HeaderRevision = "X-Egress-Revision"

// HeaderTenant is the response header in which Squid reports, on a tenant's port
// and only in the answer to a probe, the name of the tenant that it serves there.
const HeaderTenant = "X-Egress-Tenant"

// ProbeURL is requested on a tenant's port to learn which tenant and which Revision
// Squid serves there. Its host is forbidden to every tenant, so that the answer is
// always Squid's own. Such a GET request is in no audit log and in no metric of the
// tenant: it has no body, and nothing of it is forwarded or resolved.
const ProbeURL = "http://0.0.0.0/egress-probe"

// HeaderReason is the response header in which a proxy machine reports, on SidecarPort,
// why it refused a request before Squid judged it.
const HeaderReason = "X-Egress-Reason"

// Request headers in which a sidecar reports its pod to the proxy. The certificate
// proves the tenant alone: these are claims of the pod. The proxy accepts them on
// SidecarPort only, and forwards them to no other server.
const (
	HeaderNamespace = "X-Egress-Namespace"
	HeaderPod       = "X-Egress-Pod"
)
