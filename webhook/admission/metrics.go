package admission

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
)

// Values of the metric's label "decision".
const (
	decisionInject = "inject"
	decisionSkip   = "skip"
	decisionDeny   = "deny"
	// decisionError is an HTTP status instead of an AdmissionReview.
	decisionError = "error"
)

type outcome struct {
	decision string
	reason   names.Reason
}

// outcomeOf returns the outcome of an answered AdmissionReview.
func outcomeOf(d *inject.Decision) outcome {
	switch d.Action {
	case inject.Inject:
		return outcome{decisionInject, d.Reason}
	case inject.Skip:
		return outcome{decisionSkip, d.Reason}
	default:
		return outcome{decisionDeny, d.Reason}
	}
}

// outcomes returns every outcome of a request.
func outcomes() []outcome {
	return []outcome{
		{decisionInject, names.ReasonInjected},
		{decisionSkip, names.ReasonNotATenant},
		{decisionSkip, names.ReasonOptedOut},
		{decisionSkip, names.ReasonNamespaceOptedOut},
		{decisionSkip, names.ReasonMirrorPod},
		{decisionSkip, names.ReasonPodUpdated},
		{decisionSkip, names.ReasonGatewayPath},
		{decisionDeny, names.ReasonProtectedNamespace},
		{decisionDeny, names.ReasonUnknownTenant},
		{decisionDeny, names.ReasonNodePoolConflict},
		{decisionDeny, names.ReasonTooManyContainers},
		{decisionDeny, names.ReasonInvalidTenant},
		{decisionDeny, names.ReasonInvalidAnnotation},
		{decisionDeny, names.ReasonNoProxyTooLong},
		{decisionDeny, names.ReasonSidecarConflict},
		{decisionDeny, names.ReasonSidecarNotOffered},
		{decisionDeny, names.ReasonSidecarRequired},
		{decisionDeny, names.ReasonClosedDNSMissing},
		{decisionDeny, names.ReasonBadRequest},
		{decisionError, names.ReasonBadRequest},
		{decisionError, names.ReasonBusy},
		{decisionError, names.ReasonUnavailable},
		{decisionError, names.ReasonInternalError},
	}
}

type metrics struct {
	admissions map[outcome]prometheus.Counter
	duration   prometheus.Histogram
}

func newPodMetrics(registerer prometheus.Registerer) (*metrics, error) {
	return newMetrics(registerer, outcomes(), prometheus.CounterOpts{
		Name: names.MetricPodAdmissions,
		Help: "Admission requests of pods, by decision (inject, skip, deny, error) and its reason.",
	}, prometheus.HistogramOpts{
		Name: names.MetricPodAdmissionDuration,
		Help: "Time to answer an admission request of a pod, after its headers were read.",
	})
}

// newMetrics registers a counter for every outcome, which exists from the start
// with the value 0, and a histogram of durations.
func newMetrics(registerer prometheus.Registerer, outcomes []outcome, count prometheus.CounterOpts, took prometheus.HistogramOpts) (*metrics, error) {
	// From less than a usual answer (a tenth of a millisecond), over one with a
	// request to the API server, to the timeout of the webhook configuration (5 s).
	took.Buckets = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}
	counter := prometheus.NewCounterVec(count, []string{"decision", "reason"})
	duration := prometheus.NewHistogram(took)
	for _, collector := range []prometheus.Collector{counter, duration} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("registering the metrics of admission: %w", err)
		}
	}
	m := &metrics{admissions: make(map[outcome]prometheus.Counter), duration: duration}
	for _, o := range outcomes {
		m.admissions[o] = counter.WithLabelValues(o.decision, string(o.reason))
	}
	return m, nil
}

func (m *metrics) count(o outcome) { m.admissions[o].Inc() }

func (m *metrics) observeSince(started time.Time) {
	m.duration.Observe(time.Since(started).Seconds())
}
