package internet

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/miekg/dns"
)

// ttl, in seconds, is short, so that cached answers do not outlive a test.
const ttl = 1

// names answers DNS queries.
type names struct {
	zone, rebinding Zone
	// pointers are host names, by the name of their address below
	// in-addr.arpa.
	pointers map[string]string

	mu sync.Mutex
	// asked counts the queries for a name of rebinding, by type.
	asked map[dns.Question]int
}

func newNames(config Config) (*names, error) {
	zone, err := config.Zone.canonical()
	if err != nil {
		return nil, fmt.Errorf("the internet's zone: %w", err)
	}
	rebinding, err := config.Rebinding.canonical()
	if err != nil {
		return nil, fmt.Errorf("the internet's rebinding names: %w", err)
	}
	for name := range rebinding {
		if _, exists := zone[name]; exists {
			return nil, fmt.Errorf("the internet's rebinding names: %s is in its zone as well", name)
		}
	}
	pointers := map[string]string{}
	for address, name := range config.Pointers {
		reverse, err := dns.ReverseAddr(address.Unmap().String())
		if err != nil {
			return nil, fmt.Errorf("the internet's pointers: %w", err)
		}
		if _, ok := dns.IsDomainName(name); !ok || name == "" {
			return nil, fmt.Errorf("the internet's pointers: %q is not a domain name", name)
		}
		pointers[reverse] = dns.CanonicalName(name)
	}
	return &names{zone: zone, rebinding: rebinding, pointers: pointers, asked: map[dns.Question]int{}}, nil
}

// answer returns the answer to a query.
func (n *names) answer(query *dns.Msg) *dns.Msg {
	answer := new(dns.Msg).SetReply(query)
	answer.Authoritative, answer.RecursionAvailable = true, true
	if len(query.Question) != 1 {
		return answer.SetRcode(query, dns.RcodeFormatError)
	}
	records, exists := n.records(query.Question[0])
	if !exists {
		answer.Rcode = dns.RcodeNameError
	}
	answer.Answer = records
	if len(answer.Answer) == 0 {
		// The SOA record bounds the time for which resolvers cache the
		// absence (RFC 2308).
		answer.Ns = []dns.RR{&dns.SOA{
			Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
			Ns:  "ns.invalid.", Mbox: "nobody.invalid.", Serial: 1, Refresh: ttl, Retry: ttl, Expire: ttl, Minttl: ttl,
		}}
	}
	return answer
}

// records returns the records of the requested type, and whether the name
// exists at all.
func (n *names) records(question dns.Question) (records []dns.RR, exists bool) {
	name := dns.CanonicalName(question.Name)
	header := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: ttl}
	if pointer, exists := n.pointers[name]; exists {
		if question.Qtype == dns.TypePTR {
			records = []dns.RR{&dns.PTR{Hdr: header, Ptr: pointer}}
		}
		return records, true
	}
	if addresses, exists := n.rebinding[name]; exists {
		header.Ttl = 0
		records = addressRecords(header, addresses)
		if len(records) > 1 {
			turn := n.turn(dns.Question{Name: name, Qtype: question.Qtype}) % len(records)
			records = records[turn : turn+1]
		}
		return records, true
	}
	addresses, exists := n.zone[name]
	return addressRecords(header, addresses), exists
}

// turn returns the number of earlier queries for the same name and type.
func (n *names) turn(question dns.Question) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	before := n.asked[question]
	n.asked[question]++
	return before
}

// addressRecords returns a record for each address of the header's type.
func addressRecords(header dns.RR_Header, addresses []netip.Addr) []dns.RR {
	var records []dns.RR
	for _, address := range addresses {
		address = address.Unmap()
		switch {
		case address.Is4() && header.Rrtype == dns.TypeA:
			records = append(records, &dns.A{Hdr: header, A: address.AsSlice()})
		case address.Is6() && header.Rrtype == dns.TypeAAAA:
			records = append(records, &dns.AAAA{Hdr: header, AAAA: address.AsSlice()})
		}
	}
	return records
}
