package names

// HeaderRevision is the response header in which Squid reports, on a tenant's
// port, the Revision of the tenant that it serves.
const HeaderRevision = "X-Egress-Revision"
