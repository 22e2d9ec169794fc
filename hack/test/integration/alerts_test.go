package integration

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/hack/test/monitoring"
	"egress.scw/webhook/api/names"
)

// recordedMetrics is a scrape of the webhook, for the tests of the rules.
const recordedMetrics = "../monitoring/testdata/webhook.metrics"

var recordMetrics = flag.Bool("record-metrics", false, "rewrite "+recordedMetrics+" with the scrape of this run")

var webhookTarget = monitoring.Target{Job: "egress-webhook", Instance: "10.0.0.1:8080"}

// The API server accepts the chart's objects for Prometheus and Grafana, strictly, with
// the definitions that the Prometheus Operator publishes.
func TestMonitoringIsAccepted(t *testing.T) {
	installDefinitions(t, monitoringDefinitions)
	for _, kind := range []string{"PodMonitor", "ScrapeConfig", "PrometheusRule", "ConfigMap"} {
		documents := monitoring.Documents(t, kind)
		if len(documents) == 0 {
			t.Errorf("the chart renders no %s", kind)
		}
		for _, document := range documents {
			for _, object := range decoded(t, document) {
				requireAccepted(t, "chart", object)
			}
		}
	}
}

// The recorded scrape, over which the alert rules and dashboards are tested, has the
// series of the webhook.
func TestRecordedMetrics(t *testing.T) {
	if *recordMetrics {
		text := scrapeWebhook(t.Context(), t)
		if err := os.WriteFile(recordedMetrics, []byte(monitoring.Record(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	recorded, err := os.ReadFile(recordedMetrics)
	if err != nil {
		t.Fatal(err)
	}
	got := shapes(t, string(recorded))
	// The controllers of a new leader begin to export theirs one after the other.
	eventually(t, "the series of "+recordedMetrics, func(ctx context.Context) (bool, string) {
		want := shapes(t, monitoring.Record(scrapeWebhook(ctx, t)))
		return slices.Equal(got, want), fmt.Sprintf("%s has the series\n%s\nthe webhook exports\n%s\n(go test ./test/integration -run TestRecordedMetrics -args -record-metrics)",
			recordedMetrics, strings.Join(got, "\n"), strings.Join(want, "\n"))
	})
}

// shapes returns the metrics of a scrape, each with the names of its labels.
func shapes(t *testing.T, text string) []string {
	t.Helper()
	labels, err := monitoring.Labels(text)
	if err != nil {
		t.Fatal(err)
	}
	var shapes []string
	for name, of := range labels {
		shapes = append(shapes, name+" by "+strings.Join(slices.Sorted(maps.Keys(of)), ", "))
	}
	slices.Sort(shapes)
	return shapes
}

// Causes of alerts, on the real webhook: its scrapes before and after make the rules of
// the chart fire these alerts and no other.
func TestAlertsOfTheWebhook(t *testing.T) {
	rules := monitoring.Rules(t)
	unlocked := newAttacker(t, nil)
	edited, unknown := newNamespace(t, "client-a"), newNamespace(t, "")
	waitForEgress(t, edited, "3129")
	var before monitoring.Scrape
	eventually(t, "tenants that are ready", func(ctx context.Context) (bool, string) {
		before = parseScrape(ctx, t)
		return before[webhookTarget.Series(names.MetricUnknownTenantNamespaces)] == 0 && len(notReady(before)) == 0, fmt.Sprint(before)
	})
	if err := monitoring.Check(t.Context(), t.TempDir(), rules, quiet(before)); err != nil {
		t.Fatalf("before: %v", err)
	}

	// The causes.
	setTenantUnchecked(t, unknown, "alert-"+unknown)
	for _, name := range []string{"alert-first", "alert-second"} {
		object := tenant(name, 3211)
		createTenant(t, &object)
	}
	unbind(t, guardPolicy(t, "own-policy").Name)
	unlocked.requireLocked(t, remove("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: "+names.PolicyName+"}}"))
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: edited, Name: names.PolicyName}}
	if err := shared.client.Patch(t.Context(), policy, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"egress":null}}`))); err != nil {
		t.Fatal(err)
	}
	waitForEgress(t, edited, "3129")

	var after monitoring.Scrape
	// The webhook counts a repair, and a refusal, after the API server has shown it to this
	// test.
	counted := []string{
		webhookTarget.Series(names.MetricPolicyChanges + `{change="repaired"}`),
		webhookTarget.Series(names.MetricPolicyAdmissions + fmt.Sprintf(`{decision="deny",reason=%q}`, names.ReasonPolicyLocked)),
	}
	eventually(t, "the metrics", func(ctx context.Context) (bool, string) {
		after = parseScrape(ctx, t)
		grown := !slices.ContainsFunc(counted, func(series string) bool { return after[series] <= before[series] })
		return grown && after[webhookTarget.Series(names.MetricUnknownTenantNamespaces)] > 0 && slices.Equal(notReady(after), []names.Reason{names.ReasonPortConflict}), fmt.Sprint(after)
	})
	series := withProxy(before.Then(10*time.Minute, after, 20*time.Minute))
	soon := monitoring.Alerts(series, 12*time.Minute,
		`EgressPolicyChangeRefused{severity="warning"}`, `EgressPolicyRepaired{severity="warning"}`)
	later := monitoring.Alerts(series, 25*time.Minute,
		`EgressTenantNotReady{reason="PortConflict",severity="warning"}`, `EgressUnknownTenant{severity="warning"}`)
	if err := monitoring.Check(t.Context(), t.TempDir(), rules, soon, later); err != nil {
		t.Fatal(err)
	}
}

// notReady returns the reasons for which tenants are not ready in a scrape. Tenants are
// not ready for a moment while namespaces of any test come and go.
func notReady(scrape monitoring.Scrape) []names.Reason {
	return slices.DeleteFunc(names.ReadyReasons(), func(reason names.Reason) bool {
		return reason == names.ReasonReady || scrape[webhookTarget.Series(names.MetricTenants+fmt.Sprintf("{reason=%q}", reason))] == 0
	})
}

// withProxy adds the series of a proxy that works: the tier has none.
func withProxy(series []monitoring.Series) []monitoring.Series {
	machine := monitoring.Target{Job: "egress-proxy", Instance: "172.16.28.8:9100"}
	return append(series, monitoring.Series{Name: machine.Series("up"), Values: "1+0x200"},
		// promtool's clock begins at 0.
		monitoring.Series{Name: machine.Series(names.MetricConfigLastRun), Values: "0+30x200"})
}

func quiet(scrape monitoring.Scrape) monitoring.Evaluation {
	return monitoring.Alerts(withProxy(scrape.Constant(30*time.Minute)), 29*time.Minute)
}

func parseScrape(ctx context.Context, t *testing.T) monitoring.Scrape {
	t.Helper()
	scrape, err := webhookTarget.Parse(scrapeWebhook(ctx, t))
	if err != nil {
		t.Fatal(err)
	}
	return scrape
}

// scrapeWebhook returns the metrics of the webhook.
func scrapeWebhook(ctx context.Context, t *testing.T) string {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, shared.webhook.metrics, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("metrics: status %d, %v", response.StatusCode, err)
	}
	return string(text)
}
