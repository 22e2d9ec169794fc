package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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
	page := openPage(t, browser.Visit{
		URL: environment.PageURL, All: true, Await: []string{`[data-testid="denial-list"] > li`},
	}, "external-ip", "ip-info", "json", "headers", "status", "delay", "denied", "direct")
	if page.Namespace != environment.DemoTenant || page.Node != "node1" || !strings.HasPrefix(page.Pod, "egress-demo-") || !page.Injected {
		t.Errorf("the page shows pod %q, node %q, namespace %q, injected %t", page.Pod, page.Node, page.Namespace, page.Injected)
	}
	if got := page.Proxy["HTTPS_PROXY"]; got != proxyURL(t, "client-a") {
		t.Errorf("the page shows HTTPS_PROXY=%q", got)
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

	checks := []string{"external-ip", "ip-info", "json", "headers", "status", "delay", "direct"}
	gateway := openPage(t, browser.Visit{URL: environment.GatewayPageURL, All: true}, checks...)
	for _, check := range checks {
		if result := gateway.Results[check]; result.Via != "direct" {
			t.Errorf("path Gateway, %s: %+v", check, result)
		}
	}
	if got, want := gateway.Results["external-ip"].Address, shared.Plan.GatewayPublic.String(); got != want || gateway.Injected {
		t.Errorf("the page of path Gateway shows the address %q, not the gateway's, %s; injected %t", got, want, gateway.Injected)
	}
}

// openPage opens a page until these of its checks find the tenant protected: the demo gives
// requests up that a busy machine answers later. No check may find it unprotected.
func openPage(t *testing.T, visit browser.Visit, checks ...string) *browser.Page {
	t.Helper()
	const bound = 3 * time.Minute
	var page *browser.Page
	eventually(t, "the tenant of "+visit.URL+" to be protected", func() (bool, string) {
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		var err error
		if page, err = browser.Open(ctx, visit); err != nil {
			return false, err.Error()
		}
		for _, check := range checks {
			result := page.Results[check]
			if result.Outcome == "unprotected" {
				t.Fatalf("%s: %s: %+v", visit.URL, check, result)
			}
			if result.Outcome != "protected" {
				return false, fmt.Sprintf("%s: %+v", check, result)
			}
		}
		return true, ""
	})
	return page
}
