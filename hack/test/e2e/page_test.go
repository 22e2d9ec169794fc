package e2e

import (
	"errors"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/test/browser"
)

// The demo as users see it, of a tenant of each path: every button is pressed in a
// browser.
func TestPage(t *testing.T) {
	requireEnvironment(t)
	if err := browser.Installed(); errors.Is(err, browser.ErrNotInstalled) {
		t.Skip(err)
	}
	if err := shared.DeployDemo(t.Context()); err != nil {
		t.Fatal(err)
	}
	page, err := browser.Open(t.Context(), browser.Visit{
		URL: environment.PageURL, All: true, Await: []string{`[data-testid="denial-list"] > li`},
	})
	if err != nil {
		t.Fatal(err)
	}
	if page.Namespace != environment.DemoTenant || page.Node != "node1" || !strings.HasPrefix(page.Pod, "egress-demo-") || !page.Injected {
		t.Errorf("the page shows pod %q, node %q, namespace %q, injected %t", page.Pod, page.Node, page.Namespace, page.Injected)
	}
	if got := page.Proxy["HTTPS_PROXY"]; got != proxyURL(t, "client-a") {
		t.Errorf("the page shows HTTPS_PROXY=%q", got)
	}
	for _, check := range []string{"external-ip", "ip-info", "json", "headers", "status", "delay", "denied", "direct"} {
		if result, ok := page.Results[check]; !ok || result.Outcome != "protected" {
			t.Errorf("%s: %+v", check, result)
		}
	}
	if got, want := page.Results["external-ip"].Address, egressAddress(t, environment.DemoTenant); got != want {
		t.Errorf("the page shows the address %q, not the proxy's, %s", got, want)
	}
	if got := page.Denials[0]; got.Target != environment.HTTPBinName+":8443" || got.Rule != "rule port" {
		t.Errorf("the page shows the denial %+v", got)
	}
	if len(page.Problems) > 0 {
		t.Errorf("the browser complains: %q", page.Problems)
	}

	gateway, err := browser.Open(t.Context(), browser.Visit{URL: environment.GatewayPageURL, All: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range []string{"external-ip", "ip-info", "json", "headers", "status", "delay", "direct"} {
		if result, ok := gateway.Results[check]; !ok || result.Outcome != "protected" || result.Via != "direct" {
			t.Errorf("path Gateway, %s: %+v", check, result)
		}
	}
	if got, want := gateway.Results["external-ip"].Address, shared.Plan.GatewayPublic.String(); got != want || gateway.Injected {
		t.Errorf("the page of path Gateway shows the address %q, not the gateway's, %s; injected %t", got, want, gateway.Injected)
	}
}
