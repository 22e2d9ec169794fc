package capture

import (
	"context"
	"net/netip"

	"github.com/miekg/dns"
)

// udpSize is the largest message by UDP that is sent and that resolvers are asked for.
// It fits into the packets of every network (RFC 9715).
const udpSize = 1232

// answer answers a query that has at most one question.
func (c *Capture) answer(ctx context.Context, query *dns.Msg) *dns.Msg {
	reply := newReply(query)
	if reply.Rcode != dns.RcodeSuccess {
		return reply
	}
	question := query.Question[0]
	if question.Qclass != dns.ClassINET || question.Qtype == dns.TypeAXFR || question.Qtype == dns.TypeIXFR {
		reply.Rcode = dns.RcodeRefused
		return reply
	}
	name := canonical(question.Name)
	if c.knows(name) { // spares the rules
		c.answerCaptured(reply, question, name)
		return reply
	}
	switch c.rules.Load().kindOf(name) {
	case direct:
		c.answerDirect(ctx, reply, query)
	case captured:
		c.answerCaptured(reply, question, name)
	case loopback:
		answerLoopback(reply, question)
	case reversed:
		c.answerReverse(reply, question, reverseAddress(name))
	case unknown:
		reply.Rcode = dns.RcodeNameError
		reply.Ns = []dns.RR{authority(".")}
	}
	return reply
}

// newReply returns an empty answer. It has a status other than success if the query asks
// for a version of EDNS that does not exist, or has no question: the library admits a
// message that ends behind its header, whatever number of questions the header states.
func newReply(query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg).SetReply(query)
	reply.RecursionAvailable = true
	if option := query.IsEdns0(); option != nil {
		reply.SetEdns0(udpSize, option.Do())
		if option.Version() != 0 {
			reply.Rcode = dns.RcodeBadVers
		}
	}
	if len(query.Question) == 0 {
		reply.Rcode = dns.RcodeFormatError
	}
	return reply
}

// answerCaptured answers with the address of a captured name. It has no records of other
// types: IPv6 and HTTPS records would lead past the capture.
func (c *Capture) answerCaptured(reply *dns.Msg, question dns.Question, name string) {
	if question.Qtype != dns.TypeA {
		reply.Ns = []dns.RR{authority(question.Name)}
		return
	}
	address, err := c.address(name)
	if err != nil {
		c.unaddressed.warn(c.log, c.now(), "a name gets no address", "name", name, "error", err)
		reply.Rcode = dns.RcodeServerFailure
		return
	}
	reply.Answer = []dns.RR{addressRecord(question.Name, address)}
}

func (c *Capture) answerReverse(reply *dns.Msg, question dns.Question, address netip.Addr) {
	name := c.nameOf(address)
	switch {
	case name == "":
		reply.Rcode = dns.RcodeNameError
		reply.Ns = []dns.RR{authority(".")}
	case question.Qtype == dns.TypePTR:
		reply.Answer = []dns.RR{&dns.PTR{Hdr: header(question.Name, dns.TypePTR), Ptr: name + "."}}
	default:
		reply.Ns = []dns.RR{authority(question.Name)}
	}
}

// answerLoopback answers for localhost and the names below it (RFC 6761).
func answerLoopback(reply *dns.Msg, question dns.Question) {
	if question.Qtype == dns.TypeA {
		reply.Answer = []dns.RR{addressRecord(question.Name, netip.AddrFrom4([4]byte{127, 0, 0, 1}))}
		return
	}
	reply.Ns = []dns.RR{authority(question.Name)}
}

func addressRecord(name string, address netip.Addr) dns.RR {
	return &dns.A{Hdr: header(name, dns.TypeA), A: address.AsSlice()}
}

// authority is the record that bounds how long an empty answer is kept (RFC 2308).
func authority(name string) dns.RR {
	return &dns.SOA{
		Hdr: header(name, dns.TypeSOA), Ns: "egress-sidecar.", Mbox: "egress-sidecar.",
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: uint32(ttl.Seconds()),
	}
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: uint32(ttl.Seconds())}
}
