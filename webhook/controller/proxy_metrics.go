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

// proxyUp describes the metric of a machine.
var proxyUp = prometheus.NewDesc(names.MetricProxyUp,
	"Whether a proxy machine answers. Only the leader exports it.", []string{"proxy"}, nil)

// Describe implements prometheus.Collector.
func (*ProxyProber) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- proxyReachable
	descriptions <- proxyUp
}

// Collect implements prometheus.Collector. There is no series of a tenant until the
// proxies have been asked about it, and so none on other replicas than the leader.
func (p *ProxyProber) Collect(collected chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	for _, machine := range p.Machines() {
		collected <- prometheus.MustNewConstMetric(proxyUp, prometheus.GaugeValue, valueOf(machine.Up), machine.Address.String())
	}
	var tenants v1alpha1.EgressTenantList
	if err := p.cache.List(ctx, &tenants, client.UnsafeDisableDeepCopy); err != nil {
		collected <- prometheus.NewInvalidMetric(proxyReachable, err)
		return
	}
	for i := range tenants.Items {
		tenant := &tenants.Items[i]
		if !isTenantPort(tenant.Spec.ProxyPort()) {
			continue
		}
		answers, _ := p.answersAbout(tenant)
		for _, answer := range answers {
			isReachable := judge(tenant, []proxyAnswer{answer}, "").reason == names.ReasonProxyReachable
			collected <- prometheus.MustNewConstMetric(proxyReachable, prometheus.GaugeValue, valueOf(isReachable), tenant.Name, answer.proxy.Addr().String())
		}
	}
}

func valueOf(isTrue bool) float64 {
	if isTrue {
		return 1
	}
	return 0
}
