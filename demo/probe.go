package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// probe is a request that uses the proxy of the environment, like any program in
// this pod.
type probe struct {
	url        *url.URL
	wantStatus int    // 0 for 200
	subject    string // of the summary: "<subject> came back"

	// verify checks an answer with the wanted status; nil accepts it.
	verify func(*result) error
}

// ask sends p and returns the result.
func (c *checker) ask(ctx context.Context, p probe) result {
	r := result{URL: p.url.String()}
	proxy, err := c.proxyFor(p.url)
	if err != nil {
		r.Error = err.Error()
		r.conclude(outcomeFailed, "No request was sent: the proxy setting cannot be read.")
		return r
	}
	r.Via = direct
	if proxy != nil {
		r.Via = redact(proxy.String())
	}

	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	err = r.fetch(ctx, c.transport, p.url)
	r.evaluate(p, err)
	return r
}

// proxyFor returns the proxy that the transport uses for u, or nil.
func (c *checker) proxyFor(u *url.URL) (*url.URL, error) {
	if c.transport.Proxy == nil {
		return nil, nil
	}
	proxy, err := c.transport.Proxy(&http.Request{URL: u})
	if err != nil {
		// err would quote the setting with its credentials.
		return nil, fmt.Errorf("the proxy setting for %s URLs is not a URL", u.Scheme)
	}
	return proxy, nil
}

// evaluate draws the conclusion from the answer, or from the error.
func (r *result) evaluate(p probe, err error) {
	want := p.wantStatus
	if want == 0 {
		want = http.StatusOK
	}
	way := "through the proxy"
	if r.Via == direct {
		way = "without a proxy"
	}

	var refused *tunnelError
	switch {
	case errors.As(err, &refused):
		r.Status = refused.status
		r.conclude(outcomeFailed, "The proxy refused "+p.url.Hostname()+": "+statusText(refused.status)+".")
		return
	case err != nil:
		r.conclude(outcomeFailed, "No answer came from "+p.url.Hostname()+" "+way+".")
		return
	case r.Status != want:
		r.conclude(outcomeFailed, fmt.Sprintf("%s came %s, not the expected %s.", statusText(r.Status), way, statusText(want)))
		return
	}
	if p.verify != nil {
		if err := p.verify(r); err != nil {
			r.Error = err.Error()
			r.conclude(outcomeFailed, "An answer came "+way+", but not the expected one.")
			return
		}
	}

	summary := p.subject + " came back " + way + "."
	if r.Address != "" {
		summary = "The internet sees this pod as " + r.Address + ", " + way + "."
	}
	if r.Via == direct {
		r.conclude(outcomeUnprotected, summary)
		return
	}
	r.conclude(outcomeProtected, summary)
}

// wantAddress verifies an answer of the IP echo and notes the address.
func wantAddress(r *result) error {
	var body struct {
		IP netip.Addr `json:"ip"`
	}
	if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
		return fmt.Errorf("the answer is not {\"ip\": ADDRESS}: %w", err)
	}
	if !body.IP.IsValid() {
		return errors.New("the answer is not {\"ip\": ADDRESS}: no address in it")
	}
	r.Address = body.IP.String()
	return nil
}

// wantJSON verifies that an answer is JSON. A truncated answer counts if it begins
// like JSON.
func wantJSON(r *result) error {
	if json.Valid([]byte(r.Body)) || r.Truncated && strings.HasPrefix(strings.TrimSpace(r.Body), "{") {
		return nil
	}
	return errors.New("the answer is not JSON")
}
