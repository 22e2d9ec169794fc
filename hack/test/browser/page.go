package browser

import (
	"context"
	_ "embed" // read.js
	"fmt"

	"github.com/chromedp/chromedp"
)

// readScript evaluates to a Page.
//
//go:embed read.js
var readScript string

// Page is the visible state of the demo's page.
type Page struct {
	Title string `json:"title"`

	// Injected reports whether the page states that a proxy was injected.
	Injected  bool   `json:"injected"`
	Pod       string `json:"pod"`
	Node      string `json:"node"`
	Namespace string `json:"namespace"`

	// Proxy contains the proxy variables that are set, by name.
	Proxy map[string]string `json:"proxy"`

	// Way is the egress path as the page draws it.
	Way Way `json:"way"`

	// Results of the checks that were run, by name.
	Results map[string]Result `json:"results"`

	// Text is all visible text.
	Text string `json:"text"`

	// Overflow is the number of CSS pixels by which the page is wider than
	// the window.
	Overflow int `json:"overflow"`

	// Focus is the test id of the element that has the keyboard focus.
	Focus string `json:"focus"`

	// Screenshot is the whole page as a PNG.
	Screenshot []byte `json:"-"`

	// Problems are exceptions, refused resources and failed requests.
	Problems []string `json:"-"`
}

// Way is the egress path as the page draws it: the proxy, the address that the
// internet saw, and the result of the direct attempt.
type Way struct {
	Proxy    string `json:"proxy"`
	Internet string `json:"internet"`
	Direct   string `json:"direct"`
}

// Result is the visible state of a check's card. Missing fields are empty.
type Result struct {
	Outcome  string `json:"outcome"`
	Summary  string `json:"summary"`
	Address  string `json:"address"`
	Status   string `json:"status"`
	Duration string `json:"duration"`
	Via      string `json:"via"`
	URL      string `json:"url"`
	Error    string `json:"error"`
	Body     string `json:"body"`
}

// read reads the page and takes its screenshot.
func read(tab context.Context) (*Page, error) {
	page, err := chromedp.Run(tab, chromedp.Evaluate[*Page](readScript))
	if err != nil {
		return nil, err
	}
	const lossless = 100
	if page.Screenshot, err = chromedp.Run(tab, chromedp.FullScreenshot(lossless)); err != nil {
		return nil, fmt.Errorf("screenshot: %w", err)
	}
	return page, nil
}
