package controller

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// proxyReachable describes the metric of the prober.
var proxyReachable = prometheus.NewDesc(names.MetricProxyReachable,
	"Whether a proxy serves the tenant's Revision on the tenant's port. Only the leader exports it.", []string{"tenant", "proxy"}, nil)

// Describe implements prometheus.Collector.
func (*ProxyProber) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- proxyReachable }

// Collect implements prometheus.Collector. There is no series of a tenant until the
// proxies have been asked about it, and so none on other replicas than the leader.
func (p *ProxyProber) Collect(collected chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	var tenants v1alpha1.EgressTenantList
	if err := p.cache.List(ctx, &tenants, client.UnsafeDisableDeepCopy); err != nil {
		collected <- prometheus.NewInvalidMetric(proxyReachable, err)
		return
	}
	for i := range tenants.Items {
		tenant := &tenants.Items[i]
		for _, answer := range p.answersOn(tenant.Spec.ProxyPort()) {
			value := 0.0
			if judge(tenant, []proxyAnswer{answer}, "").reason == names.ReasonProxyReachable {
				value = 1
			}
			collected <- prometheus.MustNewConstMetric(proxyReachable, prometheus.GaugeValue, value, tenant.Name, answer.address.String())
		}
	}
}
