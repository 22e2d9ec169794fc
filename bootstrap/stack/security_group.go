package stack

import (
	"net/netip"
	"slices"
	"strings"
)

// KindSecurityGroup is the kind of SecurityGroup.
const KindSecurityGroup Kind = "security-group"

var securityGroupRow = kindRow{kind: KindSecurityGroup, deletedAfter: []Kind{KindServer, KindFlexibleIP, KindVolume}}

// SecurityGroup filters the traffic to the flexible addresses of the machines in a zone.
// Scaleway's groups filter public traffic only. The machine itself filters the traffic
// from the Private Network.
//
// It is the first of the stack's resources in a zone to exist, and the last one to be
// deleted. So a zone without it has none of them.
type SecurityGroup struct {
	ResourceMeta
	// Role is the role of the first machine in the zone.
	Role string
	Zone string
	// SSHSources may reach port 22. All other incoming traffic is dropped.
	SSHSources []netip.Prefix
	// Unmanaged describes rules and policies that bootstrap did not make; of
	// observed groups only.
	Unmanaged []string
}

// Key implements Resource.
func (g *SecurityGroup) Key() Key { return Key{KindSecurityGroup, g.Role} }

// Needs implements Resource.
func (*SecurityGroup) Needs() []Resource { return nil }

// Fields implements Resource.
func (g *SecurityGroup) Fields() []Field {
	rules := make([]string, 0, len(g.SSHSources)+len(g.Unmanaged))
	for _, source := range g.SSHSources {
		rules = append(rules, "accept tcp/22 from "+source.String())
	}
	slices.Sort(rules)
	rules = append(rules, g.Unmanaged...)
	if len(rules) == 0 {
		rules = []string{"none"}
	}
	return []Field{{Name: "name", Value: g.Name}, {Name: "rules", Value: strings.Join(rules, ", ")}}
}

// CopyObserved implements Resource.
func (g *SecurityGroup) CopyObserved(observed Resource) { g.copyObserved(observed) }
