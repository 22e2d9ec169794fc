package watch

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"

	"egress.scw/bootstrap/stack"
	"egress.scw/webhook/api/names"
)

// repeatAfter is the time after which an event about a state that lasts is recorded
// again. Kubernetes keeps events for an hour.
const repeatAfter = 30 * time.Minute

// Monitor reports passes as metrics and events. Its methods are called by one goroutine.
type Monitor struct {
	Registry *prometheus.Registry

	plans, changes                              *prometheus.CounterVec
	lastSuccess, blocked, leftOut, valuesBehind prometheus.Gauge

	events record.EventRecorder
	lease  runtime.Object
	told   map[announcement]told
}

type announcement struct {
	reason names.Reason
	about  string
}

type told struct {
	text string
	at   time.Time
}

// NewMonitor returns a Monitor whose events are about a Lease, or about an EgressTenant.
func NewMonitor(events record.EventRecorder, lease runtime.Object) *Monitor {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &Monitor{
		Registry: prometheus.NewRegistry(), events: events, lease: lease, told: map[announcement]told{},
		plans:        prometheus.NewCounterVec(prometheus.CounterOpts{Name: names.MetricPlans, Help: "Plans, by result."}, []string{"result"}),
		changes:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: names.MetricChanges, Help: "Steps that were carried out, by kind of resource and action."}, []string{"kind", "action"}),
		lastSuccess:  gauge(names.MetricLastSuccess, "Time of the last plan that was carried out or had nothing to do."),
		blocked:      gauge(names.MetricBlockedSteps, "Steps of the last plan that need a flag that is not set."),
		leftOut:      gauge(names.MetricTenantsLeftOut, "EgressTenants that are not valid beside the others."),
		valuesBehind: gauge(names.MetricValuesOutdated, "Whether the chart was installed with other values than those of the resources at Scaleway."),
	}
	m.Registry.MustRegister(m.plans, m.changes, m.lastSuccess, m.blocked, m.leftOut, m.valuesBehind)
	// Counters exist from the start, so that increase() sees the first event.
	for _, result := range results() {
		m.plans.WithLabelValues(string(result))
	}
	return m
}

// Ended counts a pass and returns its result.
func (m *Monitor) Ended(result Result) Result {
	m.plans.WithLabelValues(string(result)).Inc()
	if result == Unchanged || result == Applied {
		m.lastSuccess.SetToCurrentTime()
	}
	return result
}

// Step counts a step that was carried out.
func (m *Monitor) Step(step *stack.Step) {
	m.changes.WithLabelValues(string(step.Kind), string(step.Action)).Inc()
}

// Applied records that a plan was carried out.
func (m *Monitor) Applied(text string) {
	m.events.Event(m.lease, corev1.EventTypeNormal, string(names.ReasonApplied), bounded(text))
}

// Problem records a state that lasts: again after a while, or if the text differs.
// An empty text is the end of the state.
func (m *Monitor) Problem(reason names.Reason, text string) {
	m.announce(announcement{reason: reason}, m.lease, text)
}

// Decided counts the steps that are not permitted, and records the reasons and the
// volumes that are kept.
func (m *Monitor) Decided(d Decision) {
	m.blocked.Set(float64(d.Steps))
	m.Problem(names.ReasonPlanBlocked, joined(d.Blocked))
	m.Problem(names.ReasonVolumeKept, joined(d.Kept))
}

// LeftOut counts the EgressTenants that are left out, and records the problem of each.
func (m *Monitor) LeftOut(all []LeftOut) {
	m.leftOut.Set(float64(len(all)))
	maps.DeleteFunc(m.told, func(key announcement, _ told) bool {
		return key.reason == names.ReasonTenantLeftOut && !slices.ContainsFunc(all, func(left LeftOut) bool { return left.Tenant.Name == key.about })
	})
	for _, left := range all {
		m.announce(announcement{names.ReasonTenantLeftOut, left.Tenant.Name}, left.Tenant, left.Problem.Error())
	}
}

// Values records whether the values of the chart are out of date. An empty text: they
// are not.
func (m *Monitor) Values(outdated string) {
	behind := 0.0
	if outdated != "" {
		behind = 1
	}
	m.valuesBehind.Set(behind) // once: a scrape comes at any time
	m.Problem(names.ReasonValuesOutdated, outdated)
}

func (m *Monitor) announce(key announcement, about runtime.Object, text string) {
	if text == "" {
		delete(m.told, key)
		return
	}
	if last := m.told[key]; last.text == text && time.Since(last.at) < repeatAfter {
		return
	}
	m.told[key] = told{text, time.Now()}
	m.events.Event(about, corev1.EventTypeWarning, string(key.reason), bounded(text))
}

// maxMessage is the longest message of an event that Kubernetes accepts.
const maxMessage = 1024

// bounded shortens a message to the bound of Kubernetes.
func bounded(text string) string {
	const mark = " …"
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage - len(mark)
	for cut > 0 && text[cut]&0xc0 == 0x80 { // within a rune
		cut--
	}
	return text[:cut] + mark
}
