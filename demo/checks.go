package main

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	// checkTimeout bounds a check that uses the configured proxy, with its
	// retries.
	checkTimeout = 18 * time.Second

	// attemptTimeout bounds one of its requests; /delay/1 takes a second of it by
	// design.
	attemptTimeout = 5 * time.Second

	// directTimeout bounds the direct attempt. Most policies drop packets
	// silently, so the expected result takes this long.
	directTimeout = 4 * time.Second
)

// targets are the URLs that checks request. They come from settings only: a user of
// the page must not choose the hosts to which this pod connects.
type targets struct {
	ipEcho, ipInfo, echo, denied, direct *url.URL
}

// checker runs the checks.
type checker struct {
	targets        targets
	path           egressPath
	transport      *http.Transport // for every check but "direct"
	timeout        time.Duration   // of a check
	attemptTimeout time.Duration   // of one of its requests
	retryDelays    []time.Duration // before each further request
	dialer         *net.Dialer     // for "direct"
	directTimeout  time.Duration
}

// newChecker returns a checker. All its requests except "direct" use transport.
func newChecker(t targets, path egressPath, transport *http.Transport) *checker {
	return &checker{
		targets:        t,
		path:           path,
		transport:      transport,
		timeout:        checkTimeout,
		attemptTimeout: attemptTimeout,
		retryDelays:    retryDelays(),
		dialer:         &net.Dialer{},
		directTimeout:  directTimeout,
	}
}

// checkNames lists the checks in the order of the page. A tenant with path Gateway
// has no proxy that could refuse a request.
func checkNames(path egressPath) []string {
	names := []string{"external-ip", "ip-info", "json", "headers", "status", "delay", "denied", "direct"}
	if path == pathGateway {
		names = slices.DeleteFunc(names, func(name string) bool { return name == "denied" })
	}
	return names
}

// names lists the checks of the tenant's path.
func (c *checker) names() []string { return checkNames(c.path) }

// run runs a check of names. It calls retry before each further request; if retry
// returns false, the check ends with the last answer.
func (c *checker) run(ctx context.Context, name string, retry retryFunc) result {
	start := time.Now()
	res := c.dispatch(ctx, name, retry)
	res.Check = name
	res.DurationMS = time.Since(start).Milliseconds()
	return res
}

func (c *checker) dispatch(ctx context.Context, name string, retry retryFunc) result {
	if name == "direct" {
		return c.askDirectly(ctx)
	}
	return c.ask(ctx, c.probe(name), retry)
}

// probe is the request of a check that uses the proxy.
func (c *checker) probe(name string) probe {
	switch name {
	case "external-ip":
		return probe{url: c.targets.ipEcho, subject: "An address", verify: wantAddress}
	case "ip-info":
		return probe{url: c.targets.ipInfo, subject: "An address and its network", verify: wantNetwork}
	case "headers":
		return probe{url: c.targets.echo.JoinPath("headers"), subject: "The request's headers", verify: wantJSON}
	case "status":
		return probe{url: c.targets.echo.JoinPath("status", "418"), subject: "An unusual status", wantStatus: http.StatusTeapot}
	case "delay":
		return probe{url: c.targets.echo.JoinPath("delay", "1"), subject: "A slow answer"}
	case "denied":
		return probe{url: c.targets.denied, wantDenial: true}
	default: // json
		return probe{url: c.targets.echo.JoinPath("json"), subject: "A JSON document", verify: wantJSON}
	}
}
