package capture

import (
	"context"
	"slices"

	"github.com/miekg/dns"
)

// answerDirect answers with the answer of the cluster's DNS.
func (c *Capture) answerDirect(ctx context.Context, reply, query *dns.Msg) {
	rules := c.rules.Load()
	answer, err := c.forward.ask(ctx, rules.resolvers, query)
	if err != nil {
		c.unforwarded.warn(c.log, c.now(), "the cluster's DNS did not answer", "name", query.Question[0].Name, "error", err)
		reply.Rcode = dns.RcodeServerFailure
		return
	}
	reply.Rcode, reply.Authoritative, reply.Truncated = answer.Rcode, answer.Authoritative, answer.Truncated
	reply.Answer, reply.Ns = answer.Answer, answer.Ns
	for _, record := range answer.Extra {
		if record.Header().Rrtype != dns.TypeOPT {
			reply.Extra = append(reply.Extra, record)
		}
	}
	c.captureAlias(rules, reply)
}

// captureAlias captures the end of an alias that leads out of the cluster, such as that
// of a Service with externalName. The addresses that the cluster's DNS found for it
// cannot be reached.
func (c *Capture) captureAlias(rules *rules, reply *dns.Msg) {
	question := reply.Question[0]
	if question.Qtype == dns.TypeCNAME {
		return
	}
	name := canonical(question.Name)
	var chain []dns.RR
	// A chain has each record once at most, so that a circle ends.
	for range len(reply.Answer) {
		at := slices.IndexFunc(reply.Answer, func(record dns.RR) bool {
			return record.Header().Rrtype == dns.TypeCNAME && canonical(record.Header().Name) == name
		})
		if at < 0 {
			return
		}
		alias := reply.Answer[at].(*dns.CNAME) //nolint:forcetypeassert // of this type
		chain = append(chain, alias)
		name = canonical(alias.Target)
		if rules.kindOf(name) != captured {
			continue
		}
		option := reply.IsEdns0()
		reply.Answer, reply.Ns, reply.Extra, reply.Rcode = nil, nil, nil, dns.RcodeSuccess
		if option != nil {
			reply.Extra = []dns.RR{option}
		}
		c.answerCaptured(reply, dns.Question{Name: alias.Target, Qtype: question.Qtype, Qclass: question.Qclass}, name)
		reply.Answer = slices.Concat(chain, reply.Answer)
		return
	}
}
