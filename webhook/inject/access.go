package inject

import (
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
)

// addAccess adds the NO_PROXY entries of the tenant's clusterAccess. The API server
// is in NO_PROXY anyway, and so are the names of Services with the cluster's
// domain. For the short names of a namespace's Services, the entry covers the names
// below the namespace's, unless that is a public suffix.
func addAccess(list *noproxy.List, tenant *v1alpha1.EgressTenant) {
	for i := range tenant.Spec.ClusterAccess {
		access := &tenant.Spec.ClusterAccess[i]
		if prefix := access.Prefix(); prefix.IsValid() {
			list.AddEntry(noproxy.FromPrefix(prefix))
		}
		if access.Namespace != "" && !noproxy.IsPublicSuffix(access.Namespace) {
			list.AddBelow(access.Namespace)
		}
	}
}
