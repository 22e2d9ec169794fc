package browser_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"egress.scw/hack/test/browser"
)

// post runs a check as another client of the demo would.
func post(t *testing.T, address, check string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address+"/api/checks/"+check, http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the check %s was answered %s", check, res.Status)
	}
	return nil
}

// TestLiveUpdates runs checks by another client while the page is open, and before it is:
// it shows them without a button pressed. A proxy that is busy for the first requests
// shows the retries.
func TestLiveUpdates(t *testing.T) {
	requireBrowser(t)
	internet := startInternet(t)
	var requests atomic.Int32
	proxy := startBusyProxy(t, internet.Listener.Addr().String(), func(host string) bool {
		return host == "echo.example.com:443" && requests.Add(1) <= 2
	})
	address := startDemo(t, internet, []string{"HTTPS_PROXY=http://" + proxy},
		append(destinations(), "--direct-url=http://"+closedPort(t), "--checks-per-minute=6000")...)
	if err := post(t, address, "external-ip"); err != nil {
		t.Fatal(err)
	}

	// The attempts of a run are shown for three seconds, in which a busy browser may not look:
	// it is run until they were seen. The denial comes last, after the end of the last run.
	var seen atomic.Bool
	ended := make(chan error, 1)
	page := open(t, browser.Visit{
		URL: address,
		Meanwhile: func() error {
			go func() {
				var err error
				for err == nil && !seen.Load() {
					requests.Store(0)
					err = post(t, address, "json")
				}
				ended <- err
			}()
			return nil
		},
		Awaited: func() error {
			seen.Store(true)
			if err := <-ended; err != nil {
				return err
			}
			return post(t, address, "denied")
		},
		Await: []string{
			`[data-testid="check-json"][data-state="running"] [data-field="attempt"]`,
			`[data-testid="denial-list"] > li`,
			`[data-testid="check-denied"][data-state="done"]`,
			`[data-testid="check-json"][data-state="done"]`,
		},
	})
	for check, attempts := range map[string]string{"external-ip": "", "denied": "", "json": "3"} {
		if got := page.Results[check]; got.Outcome != "protected" || got.Attempts != attempts {
			t.Errorf("%s is shown as %+v, want protected after %q attempts", check, got, attempts)
		}
	}
	if len(page.Results) != 3 || len(page.Denials) != 1 {
		t.Errorf("the page shows %d results and %d denials, want 3 and 1", len(page.Results), len(page.Denials))
	}
}

// TestRunAll presses "Run all" on a page with a denial in its list: each check runs once.
func TestRunAll(t *testing.T) {
	requireBrowser(t)
	internet := startInternet(t)
	proxy := startProxy(t, internet.Listener.Addr().String())
	address := startDemo(t, internet, []string{"HTTPS_PROXY=http://" + proxy}, append(destinations(), "--direct-url=http://"+closedPort(t))...)
	page := open(t, browser.Visit{
		URL:       address,
		Meanwhile: func() error { return post(t, address, "denied") },
		All:       true,
		Await:     []string{`[data-testid="denial-list"] > li:nth-child(2)`},
	})
	if len(page.Results) != len(allChecks()) || len(page.Denials) != 2 {
		t.Errorf("the page shows %d results and %d denials, want %d and 2: %+v", len(page.Results), len(page.Denials), len(allChecks()), page.Denials)
	}
}

// TestGateway opens the page of a tenant that reaches the internet directly.
func TestGateway(t *testing.T) {
	requireBrowser(t)
	internet := startInternet(t)
	address := startDemo(t, internet, nil, "--path=Gateway", "--ip-echo-url="+internet.URL+"/?format=json", "--ip-info-url="+internet.URL+"/info",
		"--echo-url="+internet.URL, "--direct-url="+internet.URL+"/?format=json")

	page := open(t, browser.Visit{URL: address, All: true})
	if want := (browser.Way{Proxy: "Public Gateway", Internet: externalAddress, Direct: "Directly: open, as it must be"}); page.Way != want {
		t.Errorf("the egress path is drawn as %+v, want %+v", page.Way, want)
	}
	for _, check := range allChecks() {
		got, shown := page.Results[check]
		if shown != (check != "denied") || shown && got.Outcome != "protected" {
			t.Errorf("%s: shown %t, %+v", check, shown, got)
		}
	}
	for _, phrase := range []string{"Path Gateway", "It must succeed."} {
		if !strings.Contains(page.Text, phrase) {
			t.Errorf("the page lacks %q:\n%s", phrase, page.Text)
		}
	}
	if strings.Contains(page.Text, "Denials") || strings.Contains(page.Text, "It must fail") {
		t.Errorf("the page speaks of a proxy's refusals:\n%s", page.Text)
	}
}

// TestLimitIsShown presses a button of a demo whose checks are used up.
func TestLimitIsShown(t *testing.T) {
	requireBrowser(t)
	internet := startInternet(t)
	address := startDemo(t, internet, nil, "--checks-per-minute=1", "--echo-url="+internet.URL)
	useUp := func() error { // of another check, whose result may reach the page late
		for post(t, address, "headers") == nil {
			continue
		}
		return nil
	}
	// Not before the browser starts: a minute later, there is a check again.
	page, err := browser.Open(t.Context(), browser.Visit{URL: address, Meanwhile: useUp, Press: []string{"json"}})
	if err != nil {
		t.Fatal(err)
	}
	got := page.Results["json"]
	if got.Outcome != "inconclusive" || got.Summary != "The check did not run: the demo limits its requests." || !strings.Contains(got.Error, "try again in") {
		t.Errorf("the limit is shown as %+v", got)
	}
	// The refusal is the only entry in the browser's console.
	if len(page.Problems) != 1 || !strings.Contains(page.Problems[0], "429") {
		t.Errorf("the browser complains: %q", page.Problems)
	}
}

// TestAccessible examines the page by axe-core, in light and dark, on wide and narrow
// screens, with results of every outcome on it.
func TestAccessible(t *testing.T) {
	requireBrowser(t)
	axe, err := browser.Axe(t.Context())
	if errors.Is(err, browser.ErrNoNPM) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	internet := startInternet(t)
	proxy := startProxy(t, internet.Listener.Addr().String())
	open443 := []string{"--direct-url=" + internet.URL}
	demos := map[string]string{
		// Every check is as expected, but one, which fails.
		"proxy": startDemo(t, internet, []string{"HTTPS_PROXY=http://" + proxy, "NO_PROXY=localhost,.svc"},
			append(destinations(), "--direct-url=http://"+closedPort(t), "--ip-info-url=https://ip.example.com/missing", "--checks-per-minute=6000")...),
		// Not as expected: no proxy, and an open way.
		"unprotected": startDemo(t, internet, nil, append(destinations(), append(open443, "--echo-url="+internet.URL, "--checks-per-minute=6000")...)...),
		"gateway":     startDemo(t, internet, nil, append(destinations(), append(open443, "--path=Gateway", "--checks-per-minute=6000")...)...),
	}
	for name, address := range demos {
		for _, visit := range []browser.Visit{
			{Width: 1280}, {Width: 1280, Dark: true}, {Width: 360, Height: 740}, {Width: 360, Height: 740, Dark: true},
		} {
			t.Run(fmt.Sprintf("%s, %d wide, dark %t", name, visit.Width, visit.Dark), func(t *testing.T) {
				visit.URL, visit.Press, visit.Axe = address, []string{"json", "direct"}, axe
				if name == "proxy" {
					visit.Press = []string{"ip-info", "json", "denied", "direct"}
					visit.Await = []string{`[data-testid="denial-list"] > li`}
				}
				page := open(t, visit)
				for _, violation := range page.Violations {
					t.Errorf("%s: %s: %s", violation.ID, violation.Help, strings.Join(slices.Compact(violation.Nodes), "; "))
				}
			})
		}
	}
}
