package admission

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"egress.scw/webhook/api/names"
)

type admissionMetrics struct {
	outcomes map[names.Reason]prometheus.Counter
	duration prometheus.Histogram
}

// newAdmissionMetrics registers a counter of outcomes, each of which shows from
// the start, and a histogram of durations.
func newAdmissionMetrics(registerer prometheus.Registerer) (*admissionMetrics, error) {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: names.MetricPodAdmissions,
		Help: "Admission requests of pods, by the reason of the decision.",
	}, []string{"reason"})
	duration := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: names.MetricPodAdmissionDuration,
		Help: "Time to answer an admission request of a pod, from its headers on.",
		// From a warm answer (a tenth of a millisecond) over one with a request
		// to the API server to the timeout of the webhook configuration (5 s).
		Buckets: []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5},
	})
	for _, collector := range []prometheus.Collector{counter, duration} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("registering the metrics of pod admission: %w", err)
		}
	}
	outcomes := make(map[names.Reason]prometheus.Counter)
	for _, reason := range names.AdmissionReasons() {
		outcomes[reason] = counter.WithLabelValues(string(reason))
	}
	return &admissionMetrics{outcomes: outcomes, duration: duration}, nil
}

func (m *admissionMetrics) count(outcome names.Reason) { m.outcomes[outcome].Inc() }

func (m *admissionMetrics) observeSince(started time.Time) {
	m.duration.Observe(time.Since(started).Seconds())
}
