package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"egress.scw/cloudinit"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

const (
	// manyTenants have manyDomains each, the maximum of a list: 10,000 domains together.
	manyTenants = 10
	manyDomains = 1000
	manyPort    = 3200 // of the first of them
)

// checkManyDomains has Squid read 10,000 domains, and then those of before, while clients
// open connections to the port of a tenant. None is refused.
func (w *world) checkManyDomains(t *testing.T, tenants []v1alpha1.Tenant) {
	many := tenants
	for i := range manyTenants {
		added := tenant(fmt.Sprintf("many-%d", i), int32(manyPort+i), v1alpha1.EgressIPShared)
		added.Allow = &v1alpha1.AllowSpec{Mode: policy.ModeEnforce}
		for n := range manyDomains {
			added.Allow.Domains = append(added.Allow.Domains, fmt.Sprintf("h%d.t%d.example", n, i))
		}
		many = append(slices.Clip(many), added)
	}
	stop := attempts(t, strictPort)
	w.setSquidConf(encoded(t, squidConf(t, cloudinit.SourceFlexibleIP, many)))
	const last = manyPort + manyTenants - 1
	eventually(t, "the last of the tenants", func() error {
		got, err := get(t.Context(), last, "http://10.0.0.1/")
		if want := revisionOf(many, last); err == nil && got.revision != want {
			err = fmt.Errorf("revision %s, want %s", got.revision, want)
		}
		return err
	})
	checkRevisions(t, many)
	w.setSquidConf(encoded(t, squidConf(t, cloudinit.SourceFlexibleIP, tenants)))
	eventually(t, "the last of the tenants to be gone", func() error {
		if got, err := get(t.Context(), last, "http://10.0.0.1/"); err == nil {
			return fmt.Errorf("it is served: %d %s", got.status, http.StatusText(got.status))
		}
		return nil
	})
	stop()
	checkRevisions(t, tenants)
}
