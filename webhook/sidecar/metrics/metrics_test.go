package metrics

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"egress.scw/webhook/api/names"
)

// TestTextFormat: Prometheus' own reader reads the metrics.
func TestTextFormat(t *testing.T) {
	t.Parallel()
	var m Metrics
	m.Count(Tunnel, Passed)
	m.Count(HTTP, Denied)
	m.Tunnels.Store(3)
	recorder := httptest.NewRecorder()
	m.Handler(func() State {
		return State{
			Version: `v1"`, ConfigUsable: true, CertificateExpiry: time.Unix(1_700_000_000, 0),
			Machines: []Machine{{"172.16.28.8:3443", true}, {"[fd00::8]:3443", false}},
			Capture:  &Capture{Names: 5, Connections: 2},
		}
	}).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(recorder.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			key := name
			for _, label := range metric.GetLabel() {
				key += " " + label.GetValue()
			}
			got[key] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	for _, key := range []string{"tunnel denied", "tunnel failed", "http passed", "http failed"} {
		if got[names.MetricSidecarRequests+" "+key] != 0 {
			t.Errorf("%s is counted", key)
		}
		delete(got, names.MetricSidecarRequests+" "+key)
	}
	for key := range got { // the version of Go changes
		if len(key) > len(names.MetricSidecarBuildInfo) && key[:len(names.MetricSidecarBuildInfo)] == names.MetricSidecarBuildInfo {
			delete(got, key)
		}
	}
	want := map[string]float64{
		names.MetricSidecarRequests + " tunnel passed": 1, names.MetricSidecarRequests + " http denied": 1,
		names.MetricSidecarTunnels: 3, names.MetricSidecarSentBytes: 0, names.MetricSidecarReceivedBytes: 0,
		names.MetricSidecarMachineUsable + " 172.16.28.8:3443": 1, names.MetricSidecarMachineUsable + " [fd00::8]:3443": 0,
		names.MetricSidecarConfigUsable: 1, names.MetricSidecarCertificateExpiry: 1_700_000_000,
		names.MetricSidecarCapturedNames: 5, names.MetricSidecarCapturedConnections: 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
