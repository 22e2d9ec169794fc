package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/admission"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/settings"
)

const (
	floodLimit = 256 << 20 // the chart's default
	// floodFor is longer than the timeout of headers.
	floodFor = 12 * time.Second
)

// TestFlood: clients that are not the API server send requests that are large,
// deeply nested, or never complete. Another client, at another address, gets every
// answer within the 5 s of the API server, for usual pods and for large ones. The
// process stays within its memory limit, and connections that send nothing are
// closed.
func TestFlood(t *testing.T) {
	limitMemory(floodLimit)
	t.Cleanup(func() { debug.SetMemoryLimit(math.MaxInt64) })
	address := serveFlooded(t)
	ctx, stop := context.WithTimeout(t.Context(), floodFor)
	defer stop()
	var running sync.WaitGroup
	var report []byte
	running.Go(func() { report = runAttackers(t, address) })
	usual := &honest{address: address, body: podReview(0), every: 20 * time.Millisecond}
	rare := &honest{address: address, body: podReview(300 << 10), every: 200 * time.Millisecond}
	running.Go(func() { usual.ask(ctx) })
	running.Go(func() { rare.ask(ctx) })
	peak := peakMemory(ctx)
	running.Wait()
	usual.check(t, "usual pods")
	rare.check(t, "large pods")
	var opened, closedIdle int
	if _, err := fmt.Sscanf(string(report), "opened %d closed %d", &opened, &closedIdle); err != nil {
		t.Fatalf("report of the attackers: %q: %v", report, err)
	}
	t.Logf("the attackers opened %d connections; %d on which they sent nothing were closed; the memory reached %d MiB", opened, closedIdle, peak>>20)
	if peak > floodLimit {
		t.Errorf("the memory reached %d MiB, above the limit", peak>>20)
	}
	if closedIdle < idleConnections {
		t.Errorf("%d of %d connections on which nothing was sent were closed", closedIdle, idleConnections)
	}
}

// serveFlooded starts the server as main does, and returns its address.
func serveFlooded(t *testing.T) string {
	t.Helper()
	directory := writeCertificate(t)
	certificates, err := certwatcher.New(filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	server := newWebhookServer(settings.BindAddress{Host: address.Addr(), Port: address.Port()}, certificates, slog.New(slog.DiscardHandler))
	server.Register(names.PodHandlerPath, newDrainer(drainPeriod).handler(floodedHandler(t)))
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	for begin := time.Now(); server.StartedChecker()(nil) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatal(server.StartedChecker()(nil))
		}
	}
	return address.String()
}

// floodedHandler is the handler of pods, with the namespace orders of client-a in
// its cache, and its policy in sync.
func floodedHandler(t *testing.T) http.Handler {
	t.Helper()
	s, err := settings.Parse([]byte("apiVersion: egress.scw/v1alpha1\nkind: WebhookSettings\nproxy: {addresses: [172.16.28.8], verifyPorts: false}\n"))
	if err != nil {
		t.Fatal(err)
	}
	apiServer, err := noproxy.Parse("10.32.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := inject.NewCluster(s, apiServer, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	tenant := &v1alpha1.EgressTenant{ObjectMeta: metav1.ObjectMeta{Name: "client-a"}}
	tenant.Spec = v1alpha1.EgressTenantSpec{Path: v1alpha1.PathProxy, Proxy: &v1alpha1.TenantProxy{Port: 3129}}
	handler, err := admission.NewHandler(admission.Options{
		Settings: s, Cluster: cluster, Cache: oneTenant{tenant, s}, Live: oneTenant{tenant, s},
		Policies: builtPolicies{s}, Neighbours: noNeighbours{}, Budget: admission.NewBudget(floodLimit),
		Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

// noNeighbours finds none.
type noNeighbours struct{}

func (noNeighbours) Of(context.Context, string, string) (*inject.Neighbours, error) { return nil, nil }

// oneTenant reads a cluster with one tenant, and one namespace of it.
type oneTenant struct {
	tenant   *v1alpha1.EgressTenant
	settings *settings.Settings
}

func (o oneTenant) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	switch object := object.(type) {
	case *corev1.Namespace:
		if key.Name == "orders" {
			object.Name, object.Labels = "orders", map[string]string{names.LabelTenant: o.tenant.Name}
			return nil
		}
	case *v1alpha1.EgressTenant:
		if key.Name == o.tenant.Name {
			*object = *o.tenant
			return nil
		}
	case *networkingv1.NetworkPolicy:
		*object = *netpol.Build(o.tenant, key.Namespace, o.settings)
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

func (oneTenant) List(context.Context, client.ObjectList, ...client.ListOption) error { return nil }

// builtPolicies builds policies as the applier does. They are in sync, so that it has
// none to write.
type builtPolicies struct{ settings *settings.Settings }

func (b builtPolicies) Build(_ context.Context, tenant *v1alpha1.EgressTenant, namespace string) (*networkingv1.NetworkPolicy, error) {
	return netpol.Build(tenant, namespace, b.settings), nil
}

func (builtPolicies) Ensure(_ context.Context, namespace string, _ *v1alpha1.EgressTenant, _ bool) error {
	return fmt.Errorf("the policy of namespace %s is in sync and must not be written", namespace)
}

// podReview is the review of a pod with an annotation of that many bytes.
func podReview(fill int) []byte {
	return []byte(`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","resource":{"version":"v1","resource":"pods"},` +
		`"namespace":"orders","operation":"CREATE","object":{"metadata":{"annotations":{"fill":"` + strings.Repeat("x", fill) + `"}},"spec":{"containers":[{"name":"web"}]}}}}`)
}

// honest sends reviews as the API server does.
type honest struct {
	address string
	body    []byte
	every   time.Duration

	asked   int
	longest time.Duration
	failed  []string
}

func (h *honest) ask(ctx context.Context) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	asking := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	for ctx.Err() == nil {
		begin := time.Now()
		h.asked++
		//nolint:noctx // the last request must not end with the flood
		response, err := asking.Post("https://"+h.address+names.PodHandlerPath, "application/json", bytes.NewReader(h.body))
		if err != nil {
			h.failed = append(h.failed, err.Error())
			continue
		}
		answer, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(`"allowed":true`)) {
			h.failed = append(h.failed, fmt.Sprintf("%d %s %v", response.StatusCode, answer, err))
		}
		h.longest = max(h.longest, time.Since(begin))
		time.Sleep(h.every)
	}
}

func (h *honest) check(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: %d asked, %d failed, the longest took %s", what, h.asked, len(h.failed), h.longest)
	const least = 5 // on a machine with other work too
	if len(h.failed) > 0 || h.asked < least {
		t.Errorf("%s: %d asked, %d failed, the first: %.300q", what, h.asked, len(h.failed), h.failed[:min(3, len(h.failed))])
	}
}

// peakMemory returns the most memory that the process had until the context ended.
func peakMemory(ctx context.Context) uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	peak := uint64(0)
	for ctx.Err() == nil {
		metrics.Read(samples)
		peak = max(peak, samples[0].Value.Uint64()-samples[1].Value.Uint64())
		time.Sleep(5 * time.Millisecond)
	}
	return peak
}
