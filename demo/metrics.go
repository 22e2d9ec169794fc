package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics of the demo, on the address of EGRESS_DEMO_METRICS_LISTEN.
const (
	// metricChecks is the number of checks that have ended, by check and outcome.
	metricChecks = "egress_demo_checks_total"
	// metricCheckDuration is a histogram of their durations with their retries, by
	// check.
	metricCheckDuration = "egress_demo_check_duration_seconds"
	// metricRetries is the number of requests that were sent again, by check.
	metricRetries = "egress_demo_retries_total"
	// metricDenials is the number of requests that the proxy refused, by check.
	metricDenials = "egress_demo_denials_total"
	// metricRateLimited is the number of checks that did not run because of
	// EGRESS_DEMO_CHECKS_PER_MINUTE.
	metricRateLimited = "egress_demo_rate_limited_checks_total"
	// metricStreams is the number of pages that receive live updates.
	metricStreams = "egress_demo_event_streams"
	// metricDroppedStreams is the number of pages whose stream was closed because they
	// read too slowly.
	metricDroppedStreams = "egress_demo_dropped_event_streams_total"
	// metricBuildInfo is 1; its label version describes the build.
	metricBuildInfo = "egress_demo_build_info"
)

// metrics are the demo's metrics. Every label value comes from the code, not from a
// client.
type metrics struct {
	registry                    *prometheus.Registry
	checks                      *prometheus.CounterVec
	duration                    *prometheus.HistogramVec
	retries, denials            *prometheus.CounterVec
	rateLimited, droppedStreams prometheus.Counter
	streams                     prometheus.Gauge
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.CounterOpts { return prometheus.CounterOpts{Name: name, Help: help} }
	m := &metrics{
		registry: prometheus.NewRegistry(),
		checks:   prometheus.NewCounterVec(counter(metricChecks, "Checks that have ended."), []string{"check", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: metricCheckDuration, Help: "Durations of checks with their retries.",
			Buckets: []float64{0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 20},
		}, []string{"check"}),
		retries:        prometheus.NewCounterVec(counter(metricRetries, "Requests that were sent again."), []string{"check"}),
		denials:        prometheus.NewCounterVec(counter(metricDenials, "Requests that the proxy refused."), []string{"check"}),
		rateLimited:    prometheus.NewCounter(counter(metricRateLimited, "Checks that the rate limit refused.")),
		droppedStreams: prometheus.NewCounter(counter(metricDroppedStreams, "Pages that read too slowly.")),
		streams:        prometheus.NewGauge(prometheus.GaugeOpts{Name: metricStreams, Help: "Pages that receive live updates."}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: metricBuildInfo, Help: "1, by version.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(
		m.checks, m.duration, m.retries, m.denials, m.rateLimited, m.droppedStreams, m.streams, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}
