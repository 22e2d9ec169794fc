package browser

import (
	"context"
	_ "embed" // read.js
	"fmt"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
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

	// Live is the state of the live updates: on, connecting or off.
	Live string `json:"live"`

	// Denials are the denials of the pod, the newest first.
	Denials []Denial `json:"denials"`

	// Text is all visible text.
	Text string `json:"text"`

	// Overflow is the number of CSS pixels by which the page is wider than
	// the window.
	Overflow int `json:"overflow"`

	// Focus is the test id of the element that has the keyboard focus.
	Focus string `json:"focus"`

	// Screenshot is the page, whole and as a PNG unless the visit differs (Visit.Top,
	// Visit.Quality).
	Screenshot []byte `json:"-"`

	// Violations are the rules of axe-core that the page breaks, if it was examined.
	Violations []Violation `json:"-"`

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

// Denial is an item of the list of denials.
type Denial struct {
	Target    string `json:"target"`
	Rule      string `json:"rule"`
	Statement string `json:"statement"`
}

// Result is the visible state of a check's card. Missing fields are empty.
type Result struct {
	Outcome  string `json:"outcome"`
	Summary  string `json:"summary"`
	Address  string `json:"address"`
	Network  string `json:"network"`
	Status   string `json:"status"`
	Duration string `json:"duration"`
	Attempts string `json:"attempts"`
	Via      string `json:"via"`
	URL      string `json:"url"`
	Error    string `json:"error"`
	// Statement is the text of the proxy's refusal.
	Statement string `json:"statement"`
	Body      string `json:"body"`
}

// read reads the page and takes its screenshot.
func (v Visit) read(tab context.Context) (*Page, error) {
	content, err := chromedp.Run(tab, chromedp.Evaluate[*Page](readScript))
	if err != nil {
		return nil, err
	}
	whole := true
	params := page.CaptureScreenshotParams{CaptureBeyondViewport: &whole, FromSurface: &whole, Format: page.CaptureScreenshotFormatPng}
	if v.Quality > 0 {
		params.Format, params.Quality = page.CaptureScreenshotFormatWebp, &v.Quality
	}
	if v.Top > 0 {
		params.Clip = &page.Viewport{Width: float64(v.Width), Height: float64(v.Top), Scale: 1}
	}
	content.Screenshot, err = chromedp.Run(tab, func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		r, err := cdp.Call(ctx, t, page.CaptureScreenshot, params)
		if err != nil {
			return nil, err
		}
		return r.Data, nil
	})
	if err != nil {
		return nil, fmt.Errorf("screenshot: %w", err)
	}
	return content, nil
}
