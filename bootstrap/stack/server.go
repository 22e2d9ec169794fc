package stack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"egress.scw/cloudinit"
	"egress.scw/cloudinit/squid"
)

// SecurityGroup filters what reaches the proxy's flexible addresses. Scaleway's
// groups filter public traffic only; the Private Network's side is filtered by
// the machine itself.
type SecurityGroup struct {
	ResourceMeta
	// SSHSources may reach port 22; everything else that comes in is dropped.
	SSHSources []netip.Prefix
	// Foreign are rules and policies that are not as bootstrap makes them, in
	// words; of observed groups only.
	Foreign []string
}

// Key implements Resource.
func (*SecurityGroup) Key() Key { return Key{Kind: KindSecurityGroup} }

// Needs implements Resource.
func (*SecurityGroup) Needs() []Resource { return nil }

// Fields implements Resource.
func (g *SecurityGroup) Fields() []Field {
	rules := make([]string, 0, len(g.SSHSources)+len(g.Foreign))
	for _, source := range g.SSHSources {
		rules = append(rules, "accept tcp/22 from "+source.String())
	}
	slices.Sort(rules)
	rules = append(rules, g.Foreign...)
	if len(rules) == 0 {
		rules = []string{"none"}
	}
	return []Field{{Name: "name", Value: g.Name}, {Name: "rules", Value: strings.Join(rules, ", ")}}
}

// CopyObserved implements Resource.
func (g *SecurityGroup) CopyObserved(observed Resource) { g.adopt(observed) }

// Server is the machine that runs Squid.
type Server struct {
	ResourceMeta
	Type          string
	Image         string // label
	VolumeGB      int32
	SecurityGroup *SecurityGroup
	// CloudInit is the user data that it boots from. Nil on an observed server
	// that has none.
	CloudInit []byte
	// Running says whether it runs or is about to; of observed servers only.
	Running bool
	// VolumeID is the boot volume's; empty until the server is made.
	VolumeID string
}

// Any is an observed value that fits whatever is wanted.
const Any = "(any)"

// Key implements Resource.
func (*Server) Key() Key { return Key{Kind: KindServer} }

// Needs implements Resource.
func (s *Server) Needs() []Resource { return []Resource{s.SecurityGroup} }

// Fields implements Resource.
func (s *Server) Fields() []Field {
	const fixed = "the machine keeps what it was made of"
	return []Field{
		{Name: "name", Value: s.Name},
		{Name: "type", Value: s.Type, Fixed: fixed},
		{Name: "image", Value: s.Image, Fixed: fixed},
		{Name: "volume", Value: gigabytes(s.VolumeGB), Fixed: fixed},
		{Name: "security group", Value: idOf(&s.SecurityGroup.ResourceMeta)},
		{Name: "cloud-init", Value: s.bootedFrom(), Fixed: "a machine reads it at its first boot only"},
	}
}

// bootedFrom is the hash of the user data that the server boots from, or has
// booted from. One that never ran will take any.
func (s *Server) bootedFrom() string {
	switch {
	case len(s.CloudInit) > 0:
		return shortHash(s.CloudInit)
	case s.exists() && !s.Running:
		return Any
	default:
		return "none"
	}
}

// CopyObserved implements Resource.
func (s *Server) CopyObserved(observed Resource) {
	s.adopt(observed)
	s.VolumeID = observed.(*Server).VolumeID
}

// Volume is the server's boot volume, which the API makes with the server and
// leaves behind: marked as ours, it is found again. Its deletion is part of the
// server's, unless it has lost it: then its role is its ID.
type Volume struct {
	ResourceMeta
	Role   string
	Server *Server
}

// Key implements Resource.
func (v *Volume) Key() Key { return Key{KindVolume, v.Role} }

// Needs implements Resource.
func (v *Volume) Needs() []Resource { return []Resource{v.Server} }

// Fields implements Resource.
func (v *Volume) Fields() []Field { return []Field{{Name: "name", Value: v.Name}} }

// CopyObserved implements Resource.
func (v *Volume) CopyObserved(observed Resource) { v.adopt(observed) }

// PrivateNIC connects the server to the Private Network, under its booked
// address. On a server that is off it is there at once, on a running one it
// takes a minute.
type PrivateNIC struct {
	ResourceMeta
	Server    *Server
	Network   *PrivateNetwork
	PrivateIP *PrivateIP
}

// Key implements Resource.
func (*PrivateNIC) Key() Key { return Key{Kind: KindPrivateNIC} }

// Needs implements Resource.
func (n *PrivateNIC) Needs() []Resource { return []Resource{n.Server, n.Network, n.PrivateIP} }

// Fields implements Resource.
func (n *PrivateNIC) Fields() []Field {
	const fixed = "a NIC keeps its network and address"
	return []Field{
		{Name: "network", Value: idOf(&n.Network.ResourceMeta), Fixed: fixed},
		{Name: "private IP", Value: idOf(&n.PrivateIP.ResourceMeta), Fixed: fixed},
	}
}

// CopyObserved implements Resource.
func (n *PrivateNIC) CopyObserved(observed Resource) { n.adopt(observed) }

// UserData is a value that the server reads from its metadata service.
type UserData struct {
	ResourceMeta
	Server *Server
	// DataKey is cloudinit.UserDataCloudInit or cloudinit.UserDataSquidConf.
	DataKey string
	// Value is what it holds, of observed user data only.
	Value []byte
	// Render makes the value that is wanted. It can as soon as Sources have
	// their addresses.
	Render  func() ([]byte, error)
	Sources []*FlexibleIP
	// After are attachments that should be there when the value is read.
	After []*Attachment
	// Revisions are those of the tenants in the value, by name.
	Revisions map[string]string
}

// Key implements Resource.
func (u *UserData) Key() Key { return Key{KindUserData, u.DataKey} }

// Needs implements Resource.
func (u *UserData) Needs() []Resource {
	needs := []Resource{u.Server}
	for _, address := range u.Sources {
		needs = append(needs, address)
	}
	for _, attachment := range u.After {
		needs = append(needs, attachment)
	}
	return needs
}

// Fields implements Resource. What differs is told by changes.
func (*UserData) Fields() []Field { return nil }

// CopyObserved implements Resource.
func (u *UserData) CopyObserved(observed Resource) { u.adopt(observed) }

// known says whether the value can be rendered yet.
func (u *UserData) known() bool {
	return !slices.ContainsFunc(u.Sources, func(a *FlexibleIP) bool { return !a.Address.IsValid() })
}

// changes tells how the value differs from an observed one: by tenants, if it
// is a squid.conf, and by the number of lines.
func (u *UserData) changes(observed *UserData) ([]Change, error) {
	changes := revisionChanges(u.Revisions, observed.Revisions)
	if !u.known() {
		return append(changes, Change{Field: "text", To: Unknown}), nil
	}
	wanted, err := u.Render()
	if err != nil {
		return nil, err
	}
	if bytes.Equal(wanted, observed.Value) {
		return changes, nil
	}
	added, removed := lineDifference(plainText(observed.Value), plainText(wanted))
	return append(changes, Change{Field: "text", From: strconv.Itoa(removed) + " lines", To: strconv.Itoa(added) + " lines"}), nil
}

func revisionChanges(wanted, observed map[string]string) []Change {
	var changes []Change
	for name, revision := range wanted {
		if observed[name] != revision {
			changes = append(changes, Change{Field: "tenant " + name, From: observed[name], To: revision})
		}
	}
	for name, revision := range observed {
		if _, ok := wanted[name]; !ok {
			changes = append(changes, Change{Field: "tenant " + name, From: revision})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Field, b.Field) })
	return changes
}

// plainText is what user data says: squid.conf travels compressed.
func plainText(value []byte) []byte {
	if text, err := cloudinit.DecodeSquidConf(value); err == nil {
		return text
	}
	return value
}

// ObservedRevisions are the revisions in the user data of a server, by
// tenant. Of anything but a squid.conf there are none.
func ObservedRevisions(value []byte) map[string]string {
	conf, err := cloudinit.DecodeSquidConf(value)
	if err != nil {
		return nil
	}
	return squid.Revisions(conf)
}

// lineDifference counts the lines that only one of two texts has.
func lineDifference(old, wanted []byte) (added, removed int) {
	count := map[string]int{}
	for line := range bytes.Lines(wanted) {
		count[string(line)]++
	}
	for line := range bytes.Lines(old) {
		count[string(line)]--
	}
	for _, n := range count {
		added += max(n, 0)
		removed -= min(n, 0)
	}
	return added, removed
}

// Power is a server that runs. What it reads when it boots comes before.
type Power struct {
	ResourceMeta
	Server *Server
	Before []Resource
}

// Key implements Resource.
func (*Power) Key() Key { return Key{Kind: KindPower} }

// Needs implements Resource.
func (p *Power) Needs() []Resource { return append([]Resource{p.Server}, p.Before...) }

// Fields implements Resource.
func (*Power) Fields() []Field { return nil }

// CopyObserved implements Resource.
func (p *Power) CopyObserved(observed Resource) { p.adopt(observed) }

func gigabytes(n int32) string { return strconv.Itoa(int(n)) + " GB" }

// shortHash tells texts apart for people.
func shortHash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4])
}
