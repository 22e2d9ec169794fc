package e2e

import (
	"errors"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/test/browser"
)

// The demo as users see it: every button is pressed in a browser.
func TestPage(t *testing.T) {
	requireEnvironment(t)
	if err := browser.Installed(); errors.Is(err, browser.ErrNotInstalled) {
		t.Skip(err)
	}
	if err := shared.DeployDemo(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := browser.Open(t.Context(), browser.Visit{URL: environment.PageURL, All: true})
	if err != nil {
		t.Fatal(err)
	}
	if page.Namespace != environment.DemoTenant || page.Node != "node1" || !strings.HasPrefix(page.Pod, "egress-demo-") || !page.Injected {
		t.Errorf("the page shows pod %q, node %q, namespace %q, injected %t", page.Pod, page.Node, page.Namespace, page.Injected)
	}
	if got := page.Proxy["HTTPS_PROXY"]; got != "http://172.16.28.8:3129" {
		t.Errorf("the page shows HTTPS_PROXY=%q", got)
	}
	for _, check := range []string{"external-ip", "json", "headers", "status", "delay", "direct"} {
		if result, ok := page.Results[check]; !ok || result.Outcome != "protected" {
			t.Errorf("%s: %+v", check, result)
		}
	}
	if got, want := page.Results["external-ip"].Address, egressAddress(t, environment.DemoTenant); got != want {
		t.Errorf("the page shows the address %q, not the proxy's, %s", got, want)
	}
	if len(page.Problems) > 0 {
		t.Errorf("the browser complains: %q", page.Problems)
	}
}
