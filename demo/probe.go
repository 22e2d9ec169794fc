package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
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

	// wantDenial expects the proxy's refusal in place of an answer.
	wantDenial bool
}

// attempt sends p once. It reports whether a failure may pass by itself.
func (c *checker) attempt(ctx context.Context, p probe) (r result, transient bool) {
	r = result{URL: p.url.String()}
	proxy, err := c.proxyFor(p.url)
	if err != nil {
		r.Error = err.Error()
		r.conclude(outcomeFailed, "No request was sent: the proxy setting cannot be read.")
		return r, false
	}
	r.Via = direct
	if proxy != nil {
		r.Via = redact(proxy.String())
	}
	if p.wantDenial && proxy == nil {
		r.conclude(outcomeInconclusive, "No request was sent: there is no proxy that could refuse it.")
		return r, false
	}

	ctx, cancel := context.WithTimeout(ctx, c.attemptTimeout)
	defer cancel()
	err = r.fetch(ctx, c.transport, p.url)
	if refused, ok := errors.AsType[*tunnelError](err); ok {
		r.Status = refused.status
		if refused.status == http.StatusForbidden {
			r.Denial = newDenial(refused.host, refused.status, refused.page)
		}
	}
	if p.wantDenial {
		r.evaluateDenial(p, err)
	} else {
		r.evaluate(p, c.path, err)
	}
	return r, isTransient(r.Status, err)
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

// way describes how the request left.
func (r *result) way() string {
	if r.Via == direct {
		return "without a proxy"
	}
	return "through the proxy"
}

// evaluate draws the conclusion from the answer, or from the error.
func (r *result) evaluate(p probe, path egressPath, err error) {
	want := p.wantStatus
	if want == 0 {
		want = http.StatusOK
	}
	var refused *tunnelError
	switch {
	case errors.As(err, &refused), r.Denial != nil:
		r.conclude(outcomeFailed, "The proxy refused "+p.url.Hostname()+": "+statusText(r.Status)+".")
		return
	case err != nil:
		r.conclude(outcomeFailed, "No answer came from "+p.url.Hostname()+" "+r.way()+".")
		return
	case r.Status != want:
		r.conclude(outcomeFailed, fmt.Sprintf("%s came %s, not the expected %s.", statusText(r.Status), r.way(), statusText(want)))
		return
	}
	if p.verify != nil {
		if err := p.verify(r); err != nil {
			r.Error = err.Error()
			r.conclude(outcomeFailed, "An answer came "+r.way()+", but not the expected one.")
			return
		}
	}

	summary := p.subject + " came back " + r.way() + "."
	if r.Address != "" {
		summary = "The internet sees this pod as " + r.Address + ", " + r.way() + "."
	}
	r.conclude(path.reached(r.Via == direct), summary)
}

// evaluateDenial draws the conclusion from a request that the proxy must refuse.
func (r *result) evaluateDenial(p probe, err error) {
	switch {
	case r.Denial != nil:
		r.Error = "" // the refusal is the expected answer
		r.conclude(outcomeProtected, "The proxy refused "+hostPort(p.url)+", as it must.")
	case err != nil:
		r.conclude(outcomeFailed, "Neither a refusal nor an answer came from the proxy.")
	default:
		r.conclude(outcomeUnprotected, "The proxy forwarded the request to "+hostPort(p.url)+" and returned "+statusText(r.Status)+".")
	}
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

// maxNetwork bounds the name of a network, in bytes.
const maxNetwork = 100

// wantNetwork verifies an answer in the format of ipinfo.io, and notes the address and
// the network that it belongs to. A service without an account leaves fields out, and
// reports private and reserved addresses as bogon.
func wantNetwork(r *result) error {
	var body struct {
		IP      netip.Addr `json:"ip"`
		Org     string     `json:"org"`
		City    string     `json:"city"`
		Country string     `json:"country"`
		Bogon   bool       `json:"bogon"`
	}
	if err := json.Unmarshal([]byte(r.Body), &body); err != nil {
		return fmt.Errorf("the answer is not that of ipinfo.io: %w", err)
	}
	if !body.IP.IsValid() {
		return errors.New("the answer is not that of ipinfo.io: no address in it")
	}
	r.Address = body.IP.String()
	known := slices.DeleteFunc([]string{body.Org, body.City, body.Country}, func(part string) bool { return part == "" })
	if body.Bogon {
		known = append(known, "reserved address")
	}
	if network := strings.Join(known, ", "); len(network) <= maxNetwork {
		r.Network = network
	}
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
