// Package suggest proposes the smallest allow list that covers a tenant's requests.
package suggest

import (
	"cmp"
	"slices"
	"strconv"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/kubectl-egress/audit"
)

// MaxDestinations bounds the distinct destinations that are kept: more than a list may
// have, at some 200 bytes each. Requests to further ones are counted.
const MaxDestinations = 20_000

// maxNames bounds the method and the names of a request, in bytes. The proxy's own bounds
// are lower; a longer one was forged on the way here, and would fill the memory.
const maxNames = 2048

// Options decide what is proposed.
type Options struct {
	// Fold replaces several names below the same parent by the entry that covers all
	// names below it.
	Fold bool
	// Denied also covers requests that the present list denies.
	Denied bool
	// Least is the number of requests that a destination needs to be covered.
	Least int
}

// destination is what the proxy judges of a request.
type destination struct {
	method, host, sni string
	port              uint16
	// denied is whether the proxy refused it.
	denied bool
	// contents is the rule if the proxy ended the tunnel, or would have, because of
	// contents that no list covers.
	contents policy.Rule
}

// Seen collects the requests of one tenant.
type Seen struct {
	tenant  string
	counts  map[destination]int
	first   string
	last    string
	total   int
	skipped int // requests to destinations beyond MaxDestinations
	unread  int // connections without a request that the proxy could parse
}

// NewSeen returns an empty collection for a tenant.
func NewSeen(tenant string) *Seen {
	return &Seen{tenant: tenant, counts: map[destination]int{}}
}

// Add adds a line of the audit log. Lines of other tenants are left out.
func (s *Seen) Add(record *audit.Record) {
	if record.Tenant != s.tenant {
		return
	}
	s.total++
	if s.first == "" || record.Time < s.first {
		s.first = record.Time
	}
	s.last = max(s.last, record.Time)
	port, err := strconv.ParseUint(record.HostPort, 10, 16)
	if err != nil || record.Host == "-" || record.Verdict == "-" || len(record.Method)+len(record.Host)+len(record.SNI) > maxNames {
		s.unread++
		return
	}
	d := destination{method: record.Method, host: record.Host, port: uint16(port)}
	d.denied = record.Verdict == policy.VerdictDenied || record.Verdict == policy.VerdictTerminated
	if record.SNI != "-" && record.SNI != record.Host {
		d.sni = record.SNI
	}
	switch {
	case record.Rule == policy.RuleClientHello, record.Rule == policy.RuleProtocol, record.Rule == policy.RuleClient, record.Rule == policy.RuleManager:
		d.contents = record.Rule
	case record.Rule == policy.RuleSNI && record.SNI == "-":
		d.contents = policy.RuleSNI // no TLS in the tunnel
	}
	if _, known := s.counts[d]; !known && len(s.counts) >= MaxDestinations {
		s.skipped++
		return
	}
	s.counts[d]++
}

// Denial are requests that the proposed list would deny.
type Denial struct {
	Host     string      `json:"host"`
	Port     uint16      `json:"port"`
	SNI      string      `json:"sni,omitempty"`
	Rule     policy.Rule `json:"rule"`
	Requests int         `json:"requests"`
	// Before is whether the proxy refused them already.
	Before bool `json:"deniedBefore"`
}

// Fold is an entry that stands for several names.
type Fold struct {
	Domain string   `json:"domain"`
	Names  []string `json:"names"`
}

// Proposal is an allow list, and its consequences for the requests that were seen.
type Proposal struct {
	Tenant   string             `json:"tenant"`
	Allow    v1alpha1.AllowSpec `json:"allow"`
	Requests int                `json:"requests"`
	First    string             `json:"first,omitempty"`
	Last     string             `json:"last,omitempty"`
	// Covered is the number of requests that the list allows.
	Covered int `json:"covered"`
	// Denials are those that it denies, the most frequent first.
	Denials []Denial `json:"denials"`
	Folds   []Fold   `json:"folds,omitempty"`
	// Unseen are entries of the present list that no request needed.
	Unseen []string `json:"unseen,omitempty"`
	// Unread is the number of connections without a request that could be parsed.
	Unread int `json:"unread"`
	// Skipped is the number of requests to destinations beyond MaxDestinations.
	Skipped int `json:"skipped"`
	// Malformed is the number of lines that are no audit lines.
	Malformed int `json:"malformed"`
}

// Propose returns the smallest list that covers the requests. present is the tenant's
// list.
func (s *Seen) Propose(present policy.List, o Options) Proposal {
	names, ports := s.wanted(o)
	var folds []Fold
	if o.Fold {
		names, folds = fold(names)
	}
	list := policy.List{Mode: policy.ModeEnforce, Domains: policy.MergeDomains(names), Ports: ports}
	proposal := Proposal{
		Tenant: s.tenant, Requests: s.total, First: s.first, Last: s.last,
		Denials: []Denial{}, Folds: folds, Unread: s.unread, Skipped: s.skipped,
		Allow: v1alpha1.AllowSpec{Mode: policy.ModeEnforce},
	}
	for _, domain := range list.Domains {
		proposal.Allow.Domains = append(proposal.Allow.Domains, domain.String())
	}
	for _, port := range list.Ports {
		proposal.Allow.Ports = append(proposal.Allow.Ports, int32(port))
	}
	for _, domain := range present.Domains {
		if !slices.ContainsFunc(list.Domains, func(d policy.Domain) bool { return d.Covers(domain) || domain.Covers(d) }) {
			proposal.Unseen = append(proposal.Unseen, domain.String())
		}
	}
	s.judge(list, &proposal)
	return proposal
}

// passes reports whether a list can cover a request, and is to.
func (o Options) passes(d destination) bool {
	return (!d.denied || o.Denied) && d.contents == "" && !slices.Contains(policy.ForbiddenPorts(), d.port)
}

// wanted returns the names and ports that the list has to cover.
func (s *Seen) wanted(o Options) (names []policy.Domain, ports []uint16) {
	// An entry covers requests with every method, and whatever became of them.
	requests := map[destination]int{}
	for d, count := range s.counts {
		if o.passes(d) {
			requests[destination{host: d.host, sni: d.sni, port: d.port}] += count
		}
	}
	for d, count := range requests {
		if count < o.Least {
			continue
		}
		host, err := policy.ParseDomain(d.host)
		if err != nil {
			continue // an address, which no list covers
		}
		names, ports = append(names, host), append(ports, d.port)
		if inner, err := policy.ParseDomain(d.sni); err == nil {
			names = append(names, inner)
		}
	}
	slices.Sort(ports)
	if ports = slices.Compact(ports); len(ports) == 0 {
		ports = []uint16{policy.PortHTTP, policy.PortTLS}
	}
	return names, ports
}

// judge adds the consequences of the list.
func (s *Seen) judge(list policy.List, proposal *Proposal) {
	merged := map[Denial]int{}
	for d, count := range s.counts {
		rule := d.contents
		if rule == "" {
			rule = list.Decide(d.method, d.host, d.port).Rule
		}
		if rule == "" && d.sni != "" && list.Decide(d.method, d.sni, d.port).Rule == policy.RuleDomain {
			rule = policy.RuleSNI
		}
		if rule == "" {
			proposal.Covered += count
			continue
		}
		merged[Denial{Host: d.host, Port: d.port, SNI: d.sni, Rule: rule, Before: d.denied}] += count
	}
	for denial, count := range merged {
		denial.Requests = count
		proposal.Denials = append(proposal.Denials, denial)
	}
	slices.SortFunc(proposal.Denials, func(a, b Denial) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port), cmp.Compare(a.SNI, b.SNI), cmp.Compare(a.Rule, b.Rule))
	})
}
