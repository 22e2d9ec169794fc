package admission

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gomodules.xyz/jsonpatch/v2"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/v1alpha1"
)

// productionHandler returns the handler as in the webhook once its caches are
// filled: every policy is in sync, and injected pods are not logged.
func productionHandler(tb testing.TB, changes ...func(*v1alpha1.EgressTenant)) http.Handler {
	tb.Helper()
	tenant := tenantFixture("client-a", 3129)
	for _, change := range changes {
		change(tenant)
	}
	tenant.Spec.NoProxy = []string{"intranet.example.com", "172.16.28.0/24"}
	tenant.Spec.Runtimes = v1alpha1.Runtimes()
	known := newStore(namespaceFixture("orders", "client-a"), tenant, policyFixture(tenant))
	handler, err := NewHandler(Options{
		Cluster: injectCluster(tb), Cache: known, Live: newStore(),
		Policies: &fakePolicies{}, Neighbours: neighboursFixture(), Settings: exampleSettings(), Budget: NewBudget(0),
		Logger:  slog.New(slog.DiscardHandler),
		Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return handler
}

// floorHandler does the minimum of a conventional handler: it decodes review and
// pod into their types, and encodes a fixed patch.
func floorHandler(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(body, &review); err != nil {
		panic(err)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(review.Request.Object.Raw, &pod); err != nil {
		panic(err)
	}
	patch, err := json.Marshal([]jsonpatch.Operation{
		jsonpatch.NewOperation("add", "/spec/containers/0/env", []corev1.EnvVar{{Name: "HTTP_PROXY", Value: "http://172.16.28.8:3129"}}),
	})
	if err != nil {
		panic(err)
	}
	patchType := admissionv1.PatchTypeJSONPatch
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true, Patch: patch, PatchType: &patchType}
	review.Request = nil
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(review); err != nil {
		panic(err)
	}
}

// noopHandler measures the cost of HTTPS and of the clients.
func noopHandler(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		panic(err)
	}
	w.WriteHeader(http.StatusOK)
}

// TestAllocations bounds the allocations for a typical pod. Unlike its time,
// their number is the same on every machine.
func TestAllocations(t *testing.T) {
	const bound = 90
	handler := productionHandler(t)
	body := reviewOf(t, realisticPod(t, typicalPod()))
	if recorder := post(handler, body); !bytes.Contains(recorder.Body.Bytes(), []byte(`"patchType":"JSONPatch"`)) {
		t.Fatalf("no patch: %s", recorder.Body)
	}
	if got := testing.AllocsPerRun(200, func() { post(handler, body) }); got > bound {
		t.Errorf("%v allocations for a typical pod, want at most %d", got, bound)
	} else {
		t.Logf("%v allocations for a typical pod, request and recorder of the test included", got)
	}
}

// withSidecar gives the tenant all that changes a pod.
func withSidecar(tenant *v1alpha1.EgressTenant) {
	tenant.Spec.Sidecar, tenant.Spec.DNS = &v1alpha1.Sidecar{Capture: v1alpha1.CaptureNames}, v1alpha1.DNSClosed
}

// TestAllocationsWithSidecar bounds those for a typical pod that gets the sidecar.
func TestAllocationsWithSidecar(t *testing.T) {
	const bound = 130
	handler := productionHandler(t, withSidecar)
	body := reviewOf(t, realisticPod(t, typicalPod()))
	if recorder := post(handler, body); !bytes.Contains(recorder.Body.Bytes(), []byte(`"patchType":"JSONPatch"`)) {
		t.Fatalf("no patch: %s", recorder.Body)
	}
	got := testing.AllocsPerRun(200, func() { post(handler, body) })
	t.Logf("%v allocations for a typical pod with the sidecar", got)
	if got > bound {
		t.Errorf("%v allocations, want at most %d", got, bound)
	}
}

// BenchmarkAdmissionWithSidecar is BenchmarkAdmission for typical pods that get the
// sidecar, with capture. The pod is decoded a second time, in part.
func BenchmarkAdmissionWithSidecar(b *testing.B) {
	const bound = 0.45
	ours, floor := productionHandler(b, withSidecar), http.HandlerFunc(floorHandler)
	body := reviewOf(b, realisticPod(b, typicalPod()))
	var oursTook, floorTook []time.Duration
	for b.Loop() {
		oursTook = append(oursTook, timed(func() { post(ours, body) }))
		floorTook = append(floorTook, timed(func() { post(floor, body) }))
	}
	ratio := float64(median(oursTook)) / float64(median(floorTook))
	b.ReportMetric(micro(median(oursTook)), "µs/ours")
	b.ReportMetric(micro(median(floorTook)), "µs/floor")
	b.ReportMetric(testing.AllocsPerRun(20, func() { post(ours, body) }), "allocs/ours")
	b.ReportMetric(ratio, "×floor")
	b.ReportMetric(0, "ns/op") // the sum of both has no meaning
	if ratio > bound {
		b.Errorf("%.2f times the floor, want at most %.2f", ratio, bound)
	}
}

// BenchmarkAdmission answers one review after the other, in turn with the floor,
// so that other work of the machine slows both.
func BenchmarkAdmission(b *testing.B) {
	for _, size := range podSizes() {
		b.Run(size.name, func(b *testing.B) {
			ours, floor := productionHandler(b), http.HandlerFunc(floorHandler)
			body := reviewOf(b, realisticPod(b, size))
			var oursTook, floorTook []time.Duration
			for b.Loop() {
				oursTook = append(oursTook, timed(func() { post(ours, body) }))
				floorTook = append(floorTook, timed(func() { post(floor, body) }))
			}
			ratio := float64(median(oursTook)) / float64(median(floorTook))
			b.ReportMetric(micro(median(oursTook)), "µs/ours")
			b.ReportMetric(micro(median(floorTook)), "µs/floor")
			b.ReportMetric(testing.AllocsPerRun(20, func() { post(ours, body) }), "allocs/ours")
			b.ReportMetric(testing.AllocsPerRun(20, func() { post(floor, body) }), "allocs/floor")
			b.ReportMetric(ratio, "×floor")
			b.ReportMetric(0, "ns/op") // the sum of both has no meaning
			if ratio > size.maxRatio {
				b.Errorf("%.2f times the floor, want at most %.2f", ratio, size.maxRatio)
			}
		})
	}
}

func timed(work func()) time.Duration {
	started := time.Now()
	work()
	return time.Since(started)
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func median(durations []time.Duration) time.Duration { return percentile(durations, 50) }

func percentile(durations []time.Duration, percent int) time.Duration {
	sorted := slices.SortedFunc(slices.Values(durations), cmp.Compare[time.Duration])
	return sorted[(len(sorted)-1)*percent/100]
}

const httpsClients = 16

// BenchmarkAdmissionHTTPS sends the reviews of typical pods from 16 clients, each
// on its own connection. The CPU time includes the clients, which do the same
// work for every handler.
func BenchmarkAdmissionHTTPS(b *testing.B) {
	body := reviewOf(b, realisticPod(b, typicalPod()))
	for _, served := range []struct {
		name    string
		handler http.Handler
	}{
		{"noop", http.HandlerFunc(noopHandler)},
		{"floor", http.HandlerFunc(floorHandler)},
		{"ours", productionHandler(b)},
	} {
		b.Run(served.name, func(b *testing.B) { benchmarkHTTPS(b, served.handler, body) })
	}
}

func benchmarkHTTPS(b *testing.B, handler http.Handler, body []byte) {
	server := httptest.NewUnstartedServer(handler)
	// HTTP/1.1, the default of controller-runtime's webhook server.
	server.TLS = &tls.Config{NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	var clients [httpsClients]*http.Client
	for i := range clients {
		clients[i] = &http.Client{Transport: server.Client().Transport.(*http.Transport).Clone()}
		defer clients[i].CloseIdleConnections()
		askHTTPS(b, clients[i], server.URL, body) // opens the connection before the measurement
	}
	ask := func(client int) time.Duration {
		return timed(func() { askHTTPS(b, clients[client], server.URL, body) })
	}
	b.ResetTimer()
	cpu, started := cpuTime(b), time.Now()
	took := inParallel(b.N, ask)
	elapsed := time.Since(started)
	cpu = cpuTime(b) - cpu
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "requests/s")
	b.ReportMetric(micro(cpu)/float64(b.N), "µs-CPU/request")
	b.ReportMetric(micro(percentile(took, 99)), "µs-p99")
}

// inParallel calls work n times in total, from all clients, and returns the
// duration of each call.
func inParallel(n int, work func(client int) time.Duration) []time.Duration {
	took := make([]time.Duration, n)
	var next atomic.Int64
	var running sync.WaitGroup
	for client := range httpsClients {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				took[i] = work(client)
			}
		})
	}
	running.Wait()
	return took
}

func askHTTPS(b *testing.B, client *http.Client, url string, body []byte) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		b.Error(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		b.Errorf("status %d, error %v", response.StatusCode, err)
	}
}

// cpuTime returns the CPU time that this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
