package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
)

// TestRateLimit presses a button more often than the demo asks the internet.
func TestRateLimit(t *testing.T) {
	internet := httptest.NewServer(httpbin())
	defer internet.Close()
	m := newMetrics()
	checks := newRunner(testChecker(t, internet.URL, internet, nil), 1, newHub(m), slog.New(slog.DiscardHandler))
	demo := httptest.NewServer(newHandler(readEnvironment(pathProxy, variables(nil)), checks, account{}))
	defer demo.Close()

	for range burst {
		var got result
		call(t, http.MethodPost, demo.URL+"/api/checks/json", http.StatusOK, &got)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, demo.URL+"/api/checks/json", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	wait, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if res.StatusCode != http.StatusTooManyRequests || err != nil || wait < 30 || wait > 60 {
		t.Errorf("beyond the limit: %s, Retry-After %q, want 429, at most 60", res.Status, res.Header.Get("Retry-After"))
	}
	var refusal apiError
	call(t, http.MethodPost, demo.URL+"/api/checks/json", http.StatusTooManyRequests, &refusal)
	// An unknown name costs no permit, and needs none.
	call(t, http.MethodPost, demo.URL+"/api/checks/ftp", http.StatusNotFound, &refusal)
	if got := values(t, m)["egress_demo_rate_limited_checks_total"]; got != 2 {
		t.Errorf("%v checks counted as limited, want 2", got)
	}
}

// TestRefusalsTakeNoPermits: clients that are refused, many at a time, do not postpone
// the next permit.
func TestRefusalsTakeNoPermits(t *testing.T) {
	t.Parallel()
	checks := newRunner(nil, 1, newHub(newMetrics()), slog.New(slog.DiscardHandler))
	var clients sync.WaitGroup
	for range 64 {
		clients.Go(func() {
			for range 500 {
				checks.take()
			}
		})
	}
	clients.Wait()
	if wait := checks.take(); wait > time.Minute {
		t.Errorf("the next permit is in %s, want at most a minute", wait)
	}
}

// TestRetriesAreLimited: retries take permits too.
func TestRetriesAreLimited(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer broken.Close()
	checks := newRunner(testChecker(t, broken.URL, broken, nil), 1, newHub(newMetrics()), slog.New(slog.DiscardHandler))
	sent := 0
	for {
		res, err := checks.run(t.Context(), "json")
		if err != nil {
			break
		}
		sent += res.Attempts
	}
	if sent != burst {
		t.Errorf("%d requests were sent, want %d", sent, burst)
	}
}

// TestMetrics runs checks and reads the registry.
func TestMetrics(t *testing.T) {
	internet := httptest.NewServer(httpbin())
	defer internet.Close()
	proxy := startProxy(t, internet.Listener.Addr().String())
	proxy.deniedPort = "8443"
	m := newMetrics()
	logged := new(bytes.Buffer)
	checks := newRunner(testChecker(t, "http://echo.example.com", internet, proxy.url), maxChecksPerMinute, newHub(m), slog.New(slog.NewJSONHandler(logged, nil)))
	for _, name := range []string{"json", "json", "denied"} {
		if _, err := checks.run(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Contains(logged.Bytes(), []byte(`"rule":"port"`)) {
		t.Errorf("the log does not name the rule of the denial: %s", logged)
	}
	proxy.denied = http.StatusBadGateway
	if _, err := checks.run(t.Context(), "json"); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"egress_demo_checks_total/json/protected":   2,
		"egress_demo_checks_total/json/failed":      1,
		"egress_demo_checks_total/denied/protected": 1,
		"egress_demo_check_duration_seconds/json":   3,
		"egress_demo_check_duration_seconds/denied": 1,
		"egress_demo_retries_total/json":            2,
		"egress_demo_denials_total/denied":          1,
		"egress_demo_rate_limited_checks_total":     0,
		"egress_demo_dropped_event_streams_total":   0,
		"egress_demo_event_streams":                 0,
		"egress_demo_build_info/" + version:         1,
	}
	if diff := cmp.Diff(want, values(t, m)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// values are the demo's metrics: NAME/LABEL VALUE/… The value of a histogram is its
// count.
func values(t *testing.T, m *metrics) map[string]float64 {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		if !bytes.HasPrefix([]byte(family.GetName()), []byte("egress_demo_")) {
			continue
		}
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			labels := slices.SortedFunc(slices.Values(metric.GetLabel()), func(a, b *dto.LabelPair) int {
				return bytes.Compare([]byte(a.GetName()), []byte(b.GetName()))
			})
			for _, label := range labels {
				name += "/" + label.GetValue()
			}
			got[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	return got
}
