package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"egress.scw/hack/test/stopwatch"
)

// reachableTime is the product's promise: the time from the end of the proxy until every
// tenant's status shows it.
const reachableTime = 10 * time.Second

// Squid is stopped on the machine: every tenant is ProxyReachable=False within the
// promised time. Started, all of them recover by themselves.
func TestStoppedProxyShowsInEveryTenant(t *testing.T) {
	requireEnvironment(t)
	vm, err := shared.Machine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	systemctl := func(args ...string) {
		t.Helper()
		// Cleanups run after the test's context has ended.
		if _, err := vm.Exec(context.WithoutCancel(t.Context()), append([]string{"systemctl"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	statuses := func() []string {
		out, err := kubectl(t.Context(), "get", "egresstenants", "-o",
			`jsonpath={range .items[*]}{.status.conditions[?(@.type=="ProxyReachable")].status}{"\n"}{end}`)
		if err != nil {
			t.Fatal(err)
		}
		return lines(out)
	}
	all := func(want string) func() (bool, string) {
		return func() (bool, string) {
			got := statuses()
			return !slices.ContainsFunc(got, func(status string) bool { return status != want }), strings.Join(got, " ")
		}
	}
	eventually(t, "all tenants to be reachable", all("True"))
	t.Cleanup(func() { systemctl("start", "squid.service", "egress-sync.timer") })
	systemctl("stop", "egress-sync.timer", "egress-sync.service", "squid.service") // egress-sync would start it again
	watch, begin := stopwatch.Start(), time.Now()
	eventually(t, "no tenant to be reachable", all("False"))
	took := watch.Elapsed().Round(time.Second / 10)
	t.Logf("shown after %s, of which other work on this machine took all but %s", time.Since(begin).Round(time.Second/10), took)
	if took > reachableTime {
		t.Errorf("shown after %s, and not within %s", took, reachableTime)
	}
	systemctl("start", "squid.service", "egress-sync.timer")
	eventually(t, "all tenants to be reachable again", all("True"))
}
