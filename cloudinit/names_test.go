package cloudinit

import (
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
)

// TestMetricNames: the machine's files and the constants contain the same metric
// names.
func TestMetricNames(t *testing.T) {
	want := []string{
		names.MetricRequests, names.MetricDenials, names.MetricWouldBeDenials, names.MetricReceivedBytes, names.MetricSentBytes, names.MetricUnreadableLines,
		names.MetricRefusedConnections, names.MetricPortClosed, names.MetricConfigFetched, names.MetricConfigRefused, names.MetricConfigLive, names.MetricConfigLastRun,
		names.MetricDiskFree, names.MetricDiskSize, names.MetricSquidOutdated, names.MetricSidecarRefused, names.MetricSidecarsServed,
	}
	slices.Sort(want)
	found := map[string]bool{}
	for _, file := range render(t, withSidecars()).Files {
		for _, name := range regexp.MustCompile(`\begress_proxy_\w+`).FindAllString(file.Content, -1) {
			found[name] = true
		}
	}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(found))); diff != "" {
		t.Errorf("metrics, -names +files:\n%s", diff)
	}
}
