package main

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	// checkTimeout bounds a check that uses the configured proxy; /delay/1
	// takes a second of it by design.
	checkTimeout = 15 * time.Second

	// directTimeout bounds the direct attempt. Most policies drop packets
	// silently, so the expected result takes this long.
	directTimeout = 4 * time.Second
)

// targets are the URLs that checks request. They come from flags only: a user of
// the page must not choose the hosts to which this pod connects.
type targets struct {
	ipEcho, echo, direct *url.URL
}

// checker runs the checks.
type checker struct {
	targets       targets
	transport     *http.Transport // for every check but "direct"
	timeout       time.Duration   // of the same
	dialer        *net.Dialer     // for "direct"
	directTimeout time.Duration
}

// newChecker returns a checker. All its requests except "direct" use transport.
func newChecker(t targets, transport *http.Transport) *checker {
	return &checker{
		targets:       t,
		transport:     transport,
		timeout:       checkTimeout,
		dialer:        &net.Dialer{},
		directTimeout: directTimeout,
	}
}

// checkNames lists the checks in the order of the page.
func checkNames() []string {
	return []string{"external-ip", "json", "headers", "status", "delay", "direct"}
}

// run runs the named check. It reports false if no check has that name.
func (c *checker) run(ctx context.Context, name string) (result, bool) {
	start := time.Now()
	res, known := c.dispatch(ctx, name)
	res.Check = name
	res.DurationMS = time.Since(start).Milliseconds()
	return res, known
}

func (c *checker) dispatch(ctx context.Context, name string) (result, bool) {
	switch name {
	case "external-ip":
		return c.ask(ctx, probe{url: c.targets.ipEcho, subject: "An address", verify: wantAddress}), true
	case "json":
		return c.ask(ctx, probe{url: c.targets.echo.JoinPath("json"), subject: "A JSON document", verify: wantJSON}), true
	case "headers":
		return c.ask(ctx, probe{url: c.targets.echo.JoinPath("headers"), subject: "The request's headers", verify: wantJSON}), true
	case "status":
		return c.ask(ctx, probe{
			url:        c.targets.echo.JoinPath("status", "418"),
			wantStatus: http.StatusTeapot,
			subject:    "An unusual status",
		}), true
	case "delay":
		return c.ask(ctx, probe{url: c.targets.echo.JoinPath("delay", "1"), subject: "A slow answer"}), true
	case "direct":
		return c.askDirectly(ctx), true
	}
	return result{}, false
}
