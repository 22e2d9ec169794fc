// Package browser opens the demo's page in a real browser, presses its buttons
// and reads the page.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// executable is the browser of Debian's package "chromium".
const executable = "/usr/bin/chromium"

// ErrNotInstalled is returned if there is no browser.
var ErrNotInstalled = errors.New("no browser: " + executable + " is missing (apt-get install chromium)")

// Visit describes the actions on the page.
type Visit struct {
	URL string

	// Width and Height of the window, in CSS pixels. 0 stands for 1280 by
	// 900.
	Width, Height int64

	// Dark prefers the dark colour scheme.
	Dark bool

	// Press names the checks whose buttons are pressed, one after the
	// other, each after the previous one has its result.
	Press []string

	// All presses "Run all" in the end and waits until every check has run.
	All bool

	// Keys focuses the buttons and presses Enter instead of clicking.
	Keys bool

	// Meanwhile, if not nil, runs when the page is open, before a button is
	// pressed.
	Meanwhile func() error

	// Await are CSS selectors. In the end, each must match an element, one after
	// the other.
	Await []string

	// Awaited, if not nil, runs when the first of them has matched.
	Awaited func() error

	// Axe is the source of axe-core. If it is not empty, it examines the page in
	// the end.
	Axe string

	// Top is the height of the screenshot in CSS pixels, from the top of the page.
	// 0: the whole page.
	Top int64

	// Quality is that of the screenshot, 1 to 99, as WebP. 0: PNG.
	Quality int64

	// Scale is the number of pixels of the screenshot per CSS pixel. 0 stands
	// for 1.
	Scale float64
}

// Installed returns ErrNotInstalled unless there is a browser.
func Installed() error {
	if _, err := exec.LookPath(executable); err != nil {
		return ErrNotInstalled
	}
	return nil
}

// Open visits the page with its own browser process, in a fresh profile, and
// ends the browser. The browser uses no proxy, whatever the caller's
// environment variables. Open fails with ErrNotInstalled if there is no
// browser. Other errors name the step that failed. ctx bounds all steps.
func Open(ctx context.Context, v Visit) (*Page, error) {
	if err := Installed(); err != nil {
		return nil, err
	}
	// The browser leaves files in its temporary folder and its home folder.
	home, err := os.MkdirTemp("", "egress-test-browser-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(home)
	allocator, stop := chromedp.NewExecAllocator(ctx, append(flags(), chromedp.Env("TMPDIR="+home, "HOME="+home))...)
	defer stop()
	var problems problems
	tab, closeTab := chromedp.NewContext(allocator, chromedp.WithListener(problems.listen))
	defer closeTab()

	if err := v.load(tab); err != nil {
		return nil, fmt.Errorf("open %s: %w", v.URL, problems.explain(err))
	}
	if v.Meanwhile != nil {
		if err := v.Meanwhile(); err != nil {
			return nil, err
		}
	}
	for _, check := range v.Press {
		if err := v.press(tab, check); err != nil {
			return nil, fmt.Errorf("%s: press %q: %w", v.URL, check, problems.explain(err))
		}
	}
	if v.All {
		if err := pressAll(tab); err != nil {
			return nil, fmt.Errorf("%s: press \"Run all\": %w", v.URL, problems.explain(err))
		}
	}
	for i, selector := range v.Await {
		if err := chromedp.Do(tab, chromedp.WaitReady(chromedp.CSS(selector))); err != nil {
			return nil, fmt.Errorf("%s: wait for %s: %w", v.URL, selector, problems.explain(err))
		}
		if i == 0 && v.Awaited != nil {
			if err := v.Awaited(); err != nil {
				return nil, err
			}
		}
	}
	page, err := v.read(tab)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", v.URL, problems.explain(err))
	}
	if v.Axe != "" {
		if page.Violations, err = audit(tab, v.Axe); err != nil {
			return nil, fmt.Errorf("examine %s: %w", v.URL, problems.explain(err))
		}
	}
	page.Problems = problems.all()
	return page, nil
}

// startTimeout bounds the start of the browser, which takes a second, and much longer on a
// busy machine.
const startTimeout = 5 * time.Minute

// flags are the browser's command line flags.
func flags() []chromedp.ExecAllocatorOption {
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(executable),
		chromedp.WSURLReadTimeout(startTimeout),
	}
	for _, name := range []string{
		"headless",
		"disable-gpu",
		// The sandbox does not run as root, nor where user namespaces
		// are forbidden. Only our own pages are opened.
		"no-sandbox",
		// /dev/shm is small in containers.
		"disable-dev-shm-usage",
		"no-proxy-server",
		// Only the page may use the network.
		"disable-background-networking",
		"disable-component-update",
		"disable-sync",
		"disable-quic",
		"no-first-run",
		"hide-scrollbars",
	} {
		options = append(options, chromedp.Flag(name, true))
	}
	return options
}

// load opens the page and waits until it shows its environment and the state of its live
// updates.
func (v Visit) load(tab context.Context) error {
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	width, height, scale := v.Width, v.Height, v.Scale
	if scale == 0 {
		scale = 1
	}
	if width == 0 {
		width = 1280
	}
	if height == 0 {
		height = 900
	}
	err := chromedp.Do(tab,
		chromedp.EmulateViewport(width, height, chromedp.EmulateScale(scale)),
		func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			return chromedp.Void{}, err
		},
		chromedp.Navigate(v.URL),
		chromedp.WaitReady(chromedp.CSS(`[data-testid="injected"][data-injected], [data-testid="load-error"]:not([hidden])`)),
		chromedp.WaitReady(chromedp.CSS(`[data-testid="live"]:not([data-live="connecting"])`)),
	)
	if err != nil {
		return err
	}
	failure, err := chromedp.Run(tab, chromedp.TextContent(chromedp.CSS(`[data-testid="load-error"]`)))
	if err != nil {
		return err
	}
	if failure != "" {
		return errors.New("the page shows an error: " + failure)
	}
	return nil
}

// press presses a check's button and waits for the result.
func (v Visit) press(tab context.Context, check string) error {
	button := chromedp.CSS(fmt.Sprintf(`[data-testid="run-%s"]:enabled`, check))
	press := chromedp.Click(button)
	if v.Keys {
		press = chromedp.SendKeys(button, "\r")
	}
	return chromedp.Do(tab,
		press,
		chromedp.WaitReady(chromedp.CSS(fmt.Sprintf(`[data-testid="check-%s"][data-state="done"]`, check))),
	)
}

// pressAll presses "Run all" and waits for the last result.
func pressAll(tab context.Context) error {
	return chromedp.Do(tab,
		chromedp.Click(chromedp.CSS(`[data-testid="run-all"]`)),
		chromedp.WaitReady(chromedp.CSS(`main:not(:has([data-state="idle"], [data-state="running"]))`)),
	)
}

// problems collects the browser's error messages. Its zero value is ready for
// use.
type problems struct {
	mu    sync.Mutex
	found []string
}

// listen receives the tab's events, in their order.
func (p *problems) listen(event any) {
	var text string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error()
	case *log.EventEntryAdded:
		// Includes refusals of the Content-Security-Policy and failed
		// requests.
		text = fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
	default:
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found = append(p.found, text)
}

func (p *problems) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.found
}

// explain adds the browser's error messages to an error.
func (p *problems) explain(err error) error {
	if found := p.all(); len(found) > 0 {
		return fmt.Errorf("%w; the browser's messages: %q", err, found)
	}
	return err
}
