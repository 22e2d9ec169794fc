package capture

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	// mostForwarded is the number of questions that wait for the cluster's DNS, of
	// about 10 KiB each.
	mostForwarded = 64
	// tryTimeout bounds the time for the answer of one resolver.
	tryTimeout = 1500 * time.Millisecond
	// forwardTimeout bounds the time for all of them. The programs of a pod wait for
	// 5 s (resolv.conf, option timeout).
	forwardTimeout = 4500 * time.Millisecond
)

// Errors of ask.
var (
	errNoResolver       = errors.New("the configuration has no resolver")
	errTooManyForwarded = fmt.Errorf("%d questions wait for the cluster's DNS already", mostForwarded)
)

// forwarder asks the cluster's DNS.
type forwarder struct {
	places chan struct{}
}

func newForwarder() *forwarder { return &forwarder{make(chan struct{}, mostForwarded)} }

// ask returns the answer of the first resolver that answers other than by a failure. It
// asks by UDP, and by TCP for an answer that is truncated.
func (f *forwarder) ask(ctx context.Context, resolvers []netip.AddrPort, query *dns.Msg) (*dns.Msg, error) {
	select {
	case f.places <- struct{}{}:
		defer func() { <-f.places }()
	default:
		return nil, errTooManyForwarded
	}
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	failures := []error{errNoResolver}
	for i, resolver := range resolvers {
		answer, err := exchange(ctx, resolver.String(), query)
		if err == nil {
			return answer, nil
		}
		failures = append(failures[:i], fmt.Errorf("resolver %s: %w", resolver, err))
	}
	return nil, errors.Join(failures...)
}

func exchange(ctx context.Context, resolver string, query *dns.Msg) (*dns.Msg, error) {
	question := &dns.Msg{Question: query.Question}
	question.Id = dns.Id()
	question.RecursionDesired = true
	question.CheckingDisabled = query.CheckingDisabled
	option := query.IsEdns0()
	question.SetEdns0(udpSize, option != nil && option.Do())
	var answer *dns.Msg
	for _, network := range []string{"udp", "tcp"} {
		client := dns.Client{Net: network, Timeout: tryTimeout, UDPSize: udpSize}
		var err error
		if answer, _, err = client.ExchangeContext(ctx, question, resolver); err != nil {
			return nil, fmt.Errorf("by %s: %w", network, err)
		}
		if err := check(question, answer); err != nil {
			return nil, fmt.Errorf("by %s: %w", network, err)
		}
		if !answer.Truncated {
			break
		}
	}
	return answer, nil
}

// check returns an error if an answer is not for the question, or is a failure, which
// another resolver may not have.
func check(question, answer *dns.Msg) error {
	if !answer.Response || len(answer.Question) != 1 {
		return errors.New("the message is not an answer")
	}
	asked, answered := question.Question[0], answer.Question[0]
	if asked.Qtype != answered.Qtype || asked.Qclass != answered.Qclass || !strings.EqualFold(asked.Name, answered.Name) {
		return fmt.Errorf("the answer is for another question (%s)", answered.Name)
	}
	if answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
		return fmt.Errorf("the answer is a failure (%s)", dns.RcodeToString[answer.Rcode])
	}
	return nil
}
