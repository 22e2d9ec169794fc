package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// collectTimeout bounds the reads of one scrape. They are answered from memory.
const collectTimeout = time.Second

// StateCollector exports gauges of tenants and namespaces, which it computes
// from the cache at each scrape, so that they are never out of date. Only the
// leader exports them: a sum over the replicas counts each object once.
type StateCollector struct {
	cache     client.Reader
	elected   <-chan struct{}
	protected sets.Set[string]

	tenants, unknownTenant *prometheus.Desc
}

// NewStateCollector returns a collector that reads from the cache once the
// channel of the leader election is closed. Protected namespaces are not
// counted.
func NewStateCollector(cache client.Reader, elected <-chan struct{}, protected sets.Set[string]) *StateCollector {
	return &StateCollector{
		cache: cache, elected: elected, protected: protected,
		tenants: prometheus.NewDesc(names.MetricTenants,
			"EgressTenants, by the reason of their condition Ready. Only the leader exports it.", []string{"reason"}, nil),
		unknownTenant: prometheus.NewDesc(names.MetricUnknownTenantNamespaces,
			"Namespaces whose label names an EgressTenant that does not exist. Only the leader exports it.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *StateCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- c.tenants
	descriptions <- c.unknownTenant
}

// Collect implements prometheus.Collector.
func (c *StateCollector) Collect(collected chan<- prometheus.Metric) {
	select {
	case <-c.elected:
	default:
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	tenants, unknownTenant, err := c.count(ctx)
	if err != nil {
		collected <- prometheus.NewInvalidMetric(c.tenants, err)
		return
	}
	for reason, number := range tenants {
		collected <- prometheus.MustNewConstMetric(c.tenants, prometheus.GaugeValue, float64(number), string(reason))
	}
	collected <- prometheus.MustNewConstMetric(c.unknownTenant, prometheus.GaugeValue, float64(unknownTenant))
}

// count returns the number of tenants by reason, with a zero for each reason
// without tenants, and the number of namespaces of unknown tenants.
func (c *StateCollector) count(ctx context.Context) (map[names.Reason]int, int, error) {
	var tenants v1alpha1.EgressTenantList
	if err := c.cache.List(ctx, &tenants, client.UnsafeDisableDeepCopy); err != nil {
		return nil, 0, fmt.Errorf("listing EgressTenants: %w", err)
	}
	var namespaces corev1.NamespaceList
	if err := c.cache.List(ctx, &namespaces, client.HasLabels{names.LabelTenant}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, 0, fmt.Errorf("listing namespaces: %w", err)
	}
	byReason := map[names.Reason]int{}
	for _, reason := range names.ReadyReasons() {
		byReason[reason] = 0
	}
	known := sets.New[string]()
	for i := range tenants.Items {
		known.Insert(tenants.Items[i].Name)
		byReason[readyReason(&tenants.Items[i])]++
	}
	unknown := 0
	for i := range namespaces.Items {
		namespace := &namespaces.Items[i]
		if !c.protected.Has(namespace.Name) && !known.Has(namespace.Labels[names.LabelTenant]) {
			unknown++
		}
	}
	return byReason, unknown, nil
}

// readyReason returns the reason of the condition Ready. A tenant without the
// condition, or with that of an earlier spec, is pending.
func readyReason(tenant *v1alpha1.EgressTenant) names.Reason {
	ready := meta.FindStatusCondition(tenant.Status.Conditions, names.ConditionReady)
	if ready == nil || ready.ObservedGeneration != tenant.Generation {
		return names.ReasonPending
	}
	return names.Reason(ready.Reason)
}
