package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
)

// replaced is the time that the replicas of a version without Services are given to end
// after this one has begun to lead. A rollout of the Deployment takes some 10 s.
const replaced = time.Minute

// formerStatuses are the tenants whose status was written by a version without Services.
// Its replicas read the tenant's port out of proxyURL, and write the NetworkPolicy
// without the proxy where the URL has another port. So the URL stays as it is until they
// have ended. The zero value is empty.
type formerStatuses struct {
	mu    sync.Mutex
	since map[types.UID]time.Time
}

// proxyURL returns status.proxyURL: the URL of the Service, or the direct one while there
// is no Service, or a replica may read that. again is the time after which the answer
// may be another one, 0 for never.
//
// It is also the direct one as long as the API server has not stored the admitted port in
// a field of its own: its definition of EgressTenants may be the former one.
func (f *formerStatuses) proxyURL(tenant *v1alpha1.EgressTenant, service *serviceState, direct string, now time.Time) (url string, again time.Duration) {
	if service == nil || !service.isReady() {
		return direct, 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if tenant.Status.AdmittedPort == 0 && tenant.Status.ProxyURL != "" {
		if f.since == nil {
			f.since = map[types.UID]time.Time{}
		}
		if _, seen := f.since[tenant.UID]; !seen {
			f.since[tenant.UID] = now
		}
	}
	if tenant.AdmittedPort() == 0 || tenant.Status.AdmittedPort == 0 {
		return direct, 0 // the stored status triggers the next reconcile
	}
	if since, former := f.since[tenant.UID]; former {
		if left := replaced - now.Sub(since); left > 0 {
			return direct, left
		}
		delete(f.since, tenant.UID)
	}
	return inject.ServiceURL(service.address), 0
}
