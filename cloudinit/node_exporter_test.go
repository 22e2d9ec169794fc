package cloudinit

import (
	"errors"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"egress.scw/webhook/api/names"
)

// TestNodeExporter: the real node exporter, with the machine's arguments, serves the
// file that egress-sync writes. It serves only metrics with a bounded number of series.
func TestNodeExporter(t *testing.T) {
	binary, err := exec.LookPath("prometheus-node-exporter")
	if err != nil {
		t.Skip("skipped: there is no prometheus-node-exporter on this machine (Debian: apt install prometheus-node-exporter)")
	}
	s := newSyncing(t, "")
	s.publish(conf(s.listen(1, 0), "a1", ""))
	s.sync()
	address := freeAddress(t)
	found := regexp.MustCompile(`(?s)\nARGS="(.*)"\n$`).FindStringSubmatch(s.read("/etc/default/prometheus-node-exporter"))
	if found == nil {
		t.Fatal("there are no arguments")
	}
	// systemd joins the lines, and splits the value at white space.
	args := strings.Fields(strings.NewReplacer("\\\n", " ", "127.0.0.1:9100", address, metricsFolder, s.path(metricsFolder)).Replace(found[1]))
	var messages strings.Builder
	command := exec.CommandContext(t.Context(), binary, args...)
	command.Stderr = &messages
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Wait() // killed
		if t.Failed() {
			t.Logf("messages of the node exporter:\n%s", messages.String())
		}
	})
	exporter := &exporter{"http://" + address + "/metrics"}
	var got map[string]float64
	waitFor(t, "the node exporter", func() error {
		if got = exporter.read(t); got == nil {
			return errors.New("it does not respond")
		}
		return nil
	})
	for name, want := range map[string]float64{
		names.MetricConfigFetched: 1, names.MetricConfigRefused: 0, "node_textfile_scrape_error": 0,
		`node_scrape_collector_success{collector="textfile"}`: 1, `node_scrape_collector_success{collector="cpu"}`: 1,
		`node_scrape_collector_success{collector="meminfo"}`: 1, `node_scrape_collector_success{collector="filesystem"}`: 1,
		`node_scrape_collector_success{collector="netdev"}`: 1,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %g, %t, want %g", name, value, ok, want)
		}
	}
	collectors := 0
	for name := range got {
		if strings.HasPrefix(name, "node_scrape_collector_success{") {
			collectors++
		}
	}
	if collectors != 7 {
		t.Errorf("%d collectors run, want 7", collectors)
	}
}
