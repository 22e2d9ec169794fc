package names

// HeaderGeneration is the response header in which Squid reports, on a tenant's
// port, the Generation of the tenant that it serves.
const HeaderGeneration = "X-Egress-Generation"
