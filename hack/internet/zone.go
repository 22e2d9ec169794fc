package internet

import (
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
)

// Zone are names and their addresses. Every other name does not exist.
type Zone map[string][]netip.Addr

// ttl, in seconds, is short, so that nobody's cache outlives a test.
const ttl = 1

// canonical returns the zone with its names as DNS compares them.
func (z Zone) canonical() (Zone, error) {
	result := make(Zone, len(z))
	for name, addresses := range z {
		if _, ok := dns.IsDomainName(name); !ok || name == "" {
			return nil, fmt.Errorf("%q is no domain name", name)
		}
		canonical := dns.CanonicalName(name)
		if _, exists := result[canonical]; exists {
			return nil, fmt.Errorf("%s is there twice", canonical)
		}
		for _, address := range addresses {
			if !address.IsValid() {
				return nil, fmt.Errorf("%s has an address that is none", canonical)
			}
		}
		result[canonical] = addresses
	}
	return result, nil
}

// answer returns the answer to a query.
func (z Zone) answer(query *dns.Msg) *dns.Msg {
	answer := new(dns.Msg).SetReply(query)
	answer.Authoritative, answer.RecursionAvailable = true, true
	if len(query.Question) != 1 {
		return answer.SetRcode(query, dns.RcodeFormatError)
	}
	question := query.Question[0]
	addresses, exists := z[dns.CanonicalName(question.Name)]
	if !exists {
		answer.Rcode = dns.RcodeNameError
	}
	header := dns.RR_Header{Name: question.Name, Class: dns.ClassINET, Ttl: ttl}
	for _, address := range addresses {
		address = address.Unmap()
		switch {
		case address.Is4() && question.Qtype == dns.TypeA:
			header.Rrtype = dns.TypeA
			answer.Answer = append(answer.Answer, &dns.A{Hdr: header, A: address.AsSlice()})
		case address.Is6() && question.Qtype == dns.TypeAAAA:
			header.Rrtype = dns.TypeAAAA
			answer.Answer = append(answer.Answer, &dns.AAAA{Hdr: header, AAAA: address.AsSlice()})
		}
	}
	if len(answer.Answer) == 0 {
		// Says for how long the absence may be remembered (RFC 2308).
		answer.Ns = []dns.RR{&dns.SOA{
			Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
			Ns:  "ns.invalid.", Mbox: "nobody.invalid.", Serial: 1, Refresh: ttl, Retry: ttl, Expire: ttl, Minttl: ttl,
		}}
	}
	return answer
}
