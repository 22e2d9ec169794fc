package inject

import (
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
)

// accessEntries returns the NO_PROXY entries of the tenant's clusterAccess. The
// API server is in NO_PROXY anyway, and so are the names of Services with the
// cluster's domain. For the short names of a namespace's Services, the entry is the
// name of the namespace, unless it is a public suffix.
func accessEntries(tenant *v1alpha1.EgressTenant) []noproxy.Entry {
	var entries []noproxy.Entry
	for i := range tenant.Spec.ClusterAccess {
		access := &tenant.Spec.ClusterAccess[i]
		if prefix := access.Prefix(); prefix.IsValid() {
			entries = append(entries, noproxy.FromPrefix(prefix))
		}
		if entry, err := noproxy.Parse(access.Namespace); err == nil && !entry.CoversPublicHosts() {
			entries = append(entries, entry)
		}
	}
	return entries
}
