package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"sigs.k8s.io/yaml"

	"egress.scw/hack/local/process"
	"egress.scw/hack/local/prometheus"
	"egress.scw/hack/test/monitoring"
)

// A minute of the chart's rules is a second of the tests' Prometheus, which scrapes as
// often as a busy machine can answer: half as often as the chart's interval demands.
const (
	acceleration   = 60
	scrapeInterval = "1s"
)

const prometheusAddress = nodeAddress + ":9090"

// startPrometheus runs Debian's Prometheus on the node, with the published configuration,
// whose target is the first machine, and with the chart's rules for machines. Their
// durations are shortened, also in expressions: an alert fires and ends sixty times
// faster.
func (w *world) startPrometheus(t *testing.T) {
	t.Helper()
	const name = "prometheus"
	program, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("skipped: %v (make deps installs it)", err)
	}
	folder := t.TempDir()
	config := filepath.Join(folder, "prometheus.yaml")
	published, err := os.ReadFile("../../../docs/monitoring/prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	adapted, err := prometheus.Adapt(published, nil, scrapeInterval)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, adapted, 0o600); err != nil {
		t.Fatal(err)
	}
	writeMachineRules(t, filepath.Join(folder, "rules"))
	if _, err := w.environment.Start(process.Command{
		Name: name, Path: program, Netns: netnsNode,
		Args: []string{"--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(folder, "data"), "--web.listen-address=" + prometheusAddress},
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of Prometheus' log:\n%s", w.environment.Tail(name))
		}
		if err := w.environment.Stop(context.Background(), 5*time.Second, name); err != nil {
			t.Error(err)
		}
	})
}

// writeMachineRules writes the chart's rules for machines, accelerated, into a new folder.
func writeMachineRules(t *testing.T, folder string) {
	t.Helper()
	groups := monitoring.RuleObject(t).Spec.Groups
	at := slices.IndexFunc(groups, func(group monitoringv1.RuleGroup) bool { return group.Name == "egress-proxy" })
	if at < 0 {
		t.Fatal("the chart has no group egress-proxy")
	}
	group, err := monitoring.Accelerate(groups[at], acceleration)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(monitoringv1.PrometheusRuleSpec{Groups: []monitoringv1.RuleGroup{group}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "proxy.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// firing returns the summaries of the alerts that fire, by NAME{labels}, with the severity
// left out.
func firing(ctx context.Context) (map[string]string, error) {
	var alerts struct {
		Alerts []struct {
			State               string
			Labels, Annotations map[string]string
		}
	}
	if err := askPrometheus(ctx, "alerts", &alerts); err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, alert := range alerts.Alerts {
		if alert.State != "firing" {
			continue
		}
		var labels []string
		for _, name := range slices.Sorted(maps.Keys(alert.Labels)) {
			if name != "alertname" && name != "severity" {
				labels = append(labels, fmt.Sprintf("%s=%q", name, alert.Labels[name]))
			}
		}
		found[alert.Labels["alertname"]+"{"+strings.Join(labels, ",")+"}"] = alert.Annotations["summary"]
	}
	return found, nil
}

// unscraped returns an error while a target has not answered its last scrape.
func unscraped(ctx context.Context) error {
	var targets struct {
		Active []struct {
			URL       string `json:"scrapeUrl"`
			Health    string
			LastError string
		} `json:"activeTargets"`
	}
	if err := askPrometheus(ctx, "targets", &targets); err != nil {
		return err
	}
	if len(targets.Active) != 3 {
		return fmt.Errorf("%d targets, want 3: %v", len(targets.Active), targets.Active)
	}
	for _, target := range targets.Active {
		if target.Health != "up" {
			return fmt.Errorf("%s is %s: %s", target.URL, target.Health, target.LastError)
		}
	}
	return nil
}

// askPrometheus decodes the data of an answer of the tests' Prometheus.
func askPrometheus(ctx context.Context, what string, data any) error {
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return dial(ctx, netnsNode, address) }, DisableKeepAlives: true,
	}, Timeout: time.Minute}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+prometheusAddress+"/api/v1/"+what, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var answer struct{ Data json.RawMessage }
	if err := json.Unmarshal(text, &answer); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s, %w: %s", what, response.Status, err, text)
	}
	return json.Unmarshal(answer.Data, data)
}
