package controller

import (
	"testing"
	"time"

	"egress.scw/webhook/api/names"
)

// TestProxyURLDuringAnUpgrade: replicas of a version without Services read the tenant's
// port out of status.proxyURL, and close the tenant's namespaces if there is another one.
func TestProxyURLDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	const direct, service = "http://172.16.28.8:3129", "http://10.32.0.77:3128"
	start := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	ready := &serviceState{address: "10.32.0.77", reason: names.ReasonServiceReady}
	for name, test := range map[string]struct {
		url      string // of the status
		admitted int32
		former   bool // the same tenant was seen with the status of the former version
		state    *serviceState
		after    time.Duration
		want     string
		again    time.Duration
	}{
		"no Service":                          {url: direct, admitted: 3129, want: direct},
		"the Service is missing":              {url: service, admitted: 3129, state: &serviceState{reason: names.ReasonServiceNotWritten}, want: direct},
		"a new tenant":                        {state: ready, want: direct},
		"a new tenant, its port stored":       {url: direct, admitted: 3129, state: ready, want: service},
		"settled":                             {url: service, admitted: 3129, state: ready, want: service},
		"a status of the former version":      {url: direct, state: ready, want: direct},
		"its port stored":                     {url: direct, admitted: 3129, former: true, state: ready, after: 10 * time.Second, want: direct, again: 50 * time.Second},
		"its port stored, replicas have gone": {url: direct, admitted: 3129, former: true, state: ready, after: replaced, want: service},
		"the port is another one":             {url: service, admitted: 3130, state: ready, want: direct},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var former formerStatuses
			tenant := tenantFixture("client-a", 3129)
			if test.former {
				tenant.Status.ProxyURL = direct
				former.proxyURL(tenant, ready, direct, start)
			}
			tenant.Status.ProxyURL, tenant.Status.AdmittedPort = test.url, test.admitted
			if got, again := former.proxyURL(tenant, test.state, direct, start.Add(test.after)); got != test.want || again != test.again {
				t.Errorf("proxyURL is %s, again after %s, want %s and %s", got, again, test.want, test.again)
			}
		})
	}
}
