package monitoring

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"

	"egress.scw/webhook/api/names"
)

// The scraped endpoints.
var (
	webhookTarget = Target{"egress-webhook", "10.0.0.1:8080"}
	watchTarget   = Target{"egress-webhook-watch", "10.0.0.2:8080"}
	tenantsTarget = Target{"egress-proxy", fmt.Sprintf("172.16.28.8:%d", names.TenantMetricsPort)}
	machineTarget = Target{"egress-proxy", fmt.Sprintf("172.16.28.8:%d", names.MachineMetricsPort)}
	squidTarget   = Target{"egress-proxy", fmt.Sprintf("172.16.28.8:%d", names.SquidMetricsPort)}
)

// recorded returns what each target exports: the metrics of the webhook and of bootstrap
// watch are those of their TestRecordedMetrics, the tenants' those of mtail for the lines of
// testdata/audit.log and testdata/sidecars.log.
func recorded(t *testing.T) map[Target]string {
	t.Helper()
	texts := map[Target]string{tenantsTarget: mtail(t, "testdata/audit.log", "testdata/sidecars.log")}
	for target, file := range map[Target]string{
		webhookTarget: "webhook.metrics", watchTarget: "watch.metrics", machineTarget: "machine.metrics", squidTarget: "squid.metrics",
	} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		texts[target] = string(text)
	}
	return texts
}

// scrape returns the recorded series of all targets.
func scrape(t *testing.T) Scrape {
	t.Helper()
	all := Scrape{}
	for target, text := range recorded(t) {
		one, err := target.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, one)
	}
	return all
}

// mtail returns the metrics that mtail computes from logs of the machine with the
// machine's programs.
func mtail(t *testing.T, logs ...string) string {
	t.Helper()
	requirePrograms(t, "mtail")
	programs := t.TempDir()
	for _, name := range []string{"egress-audit.mtail.tmpl", "egress-sidecars.mtail"} {
		program, err := template.ParseFiles("../../../cloudinit/rootfs/etc/mtail/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		if err := program.Execute(&text, struct{ Sidecars bool }{}); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(programs, strings.TrimSuffix(name, ".tmpl")), []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "mtail", "--one_shot", "--one_shot_format=prometheus", "--emit_prog_label=false",
		"--progs="+programs, "--logs="+strings.Join(logs, ","))
	var problems strings.Builder
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		t.Fatalf("mtail: %v\n%s", err, problems.String())
	}
	return string(output)
}

// requirePrograms skips the test if a program of Debian's is not installed. Root
// installs them with make deps.
func requirePrograms(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("skipped: %v (make deps installs it)", err)
		}
	}
}

// The recorded series have all metrics of the reference page, and no other of ours.
func TestRecordedSeriesAreComplete(t *testing.T) {
	reference, err := os.ReadFile("../../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, match := range regexp.MustCompile("(?m)^\\| `(egress_[a-z_]+)` ").FindAllStringSubmatch(string(reference), -1) {
		// The chart does not scrape sidecars and the demo, whose pods are the
		// tenants'.
		if !strings.HasPrefix(match[1], "egress_sidecar_") && !strings.HasPrefix(match[1], "egress_demo_") {
			want = append(want, match[1])
		}
	}
	got := map[string]bool{}
	for _, text := range recorded(t) {
		labels, err := Labels(text)
		if err != nil {
			t.Fatal(err)
		}
		for name := range labels {
			if strings.HasPrefix(name, "egress_") {
				got[family(name)] = true
			}
		}
	}
	// Only a webhook with a proxy exports them.
	got[names.MetricProxyReachable], got[names.MetricProxyUp] = true, true
	slices.Sort(want)
	if all := slices.Sorted(maps.Keys(got)); len(want) == 0 || !slices.Equal(want, all) {
		t.Errorf("the recorded series are of\n%q\nthe reference page has\n%q", all, want)
	}
}

// family returns the metric of a series of a histogram.
func family(name string) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, found := strings.CutSuffix(name, suffix); found && strings.HasSuffix(base, "_seconds") {
			return base
		}
	}
	return name
}
