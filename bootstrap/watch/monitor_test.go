package watch

import (
	"errors"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"gotest.tools/v3/golden"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"

	"egress.scw/bootstrap/stack"
	"egress.scw/webhook/api/names"
)

// newTestMonitor returns a Monitor, and a function that returns the events so far.
func newTestMonitor() (*Monitor, func() []string) {
	recorder := record.NewFakeRecorder(100)
	return NewMonitor(recorder, &corev1.ObjectReference{}), func() []string {
		var all []string
		for len(recorder.Events) > 0 {
			all = append(all, <-recorder.Events)
		}
		return all
	}
}

// A state that lasts is one event until its text changes, half an hour has passed, or it
// has ended in between.
func TestProblemsAreNotRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		monitor, events := newTestMonitor()
		for _, text := range []string{"a", "a", "b", "b", "", "b"} {
			monitor.Problem(names.ReasonApplyFailed, text)
		}
		for range 40 {
			monitor.Problem(names.ReasonApplyFailed, "b")
			time.Sleep(time.Minute)
		}
		monitor.LeftOut([]LeftOut{{named("x"), errors.New("c")}, {named("y"), errors.New("c")}})
		monitor.LeftOut([]LeftOut{{named("x"), errors.New("c")}})
		want := []string{
			"Warning ApplyFailed a", "Warning ApplyFailed b", "Warning ApplyFailed b", "Warning ApplyFailed b",
			"Warning TenantLeftOut c", "Warning TenantLeftOut c",
		}
		if diff := cmp.Diff(want, events()); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// recordedGauge records the values that it is set to.
type recordedGauge struct {
	prometheus.Gauge

	values []float64
}

func (g *recordedGauge) Set(value float64) { g.values = append(g.values, value) }

// A scrape at any time tells that values are out of date for as long as they are.
func TestOutdatedValuesStayOutdated(t *testing.T) {
	t.Parallel()
	monitor, _ := newTestMonitor()
	gauge := &recordedGauge{}
	monitor.valuesBehind = gauge
	for _, outdated := range []string{"a", "a", "b", ""} {
		monitor.Values(outdated)
	}
	if diff := cmp.Diff([]float64{1, 1, 1, 0}, gauge.values); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestRecordedMetrics records the metrics that the tests of the alert rules use:
//
//	go test ./bootstrap/watch -run TestRecordedMetrics -update
func TestRecordedMetrics(t *testing.T) {
	t.Parallel()
	monitor, _ := newTestMonitor()
	monitor.Step(&stack.Step{Kind: stack.KindServer, Action: stack.Create})
	monitor.Ended(Applied)
	families, err := monitor.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, family := range families {
		var out lines
		if _, err := expfmt.MetricFamilyToText(&out, family); err != nil {
			t.Fatal(err)
		}
		text += string(out)
	}
	text = regexp.MustCompile(`(?m)^(egress_bootstrap_last_success_timestamp_seconds) .*$`).ReplaceAllString(text, "$1 1e+09")
	golden.Assert(t, text, "../../../hack/test/monitoring/testdata/watch.metrics")
}

type lines []byte

func (l *lines) Write(data []byte) (int, error) {
	*l = append(*l, data...)
	return len(data), nil
}
