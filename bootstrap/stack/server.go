package stack

import (
	"crypto/sha256"
	"encoding/hex"
)

// The kinds of a server and its state.
const (
	KindServer Kind = "server"
	KindPower  Kind = "power"
)

var serverRow = kindRow{
	kind: KindServer,
	state: typed(func(s *Server) string {
		if s.Running {
			return "running"
		}
		return "stopped"
	}),
	loss:   always("its disk, and on it the audit log"),
	outage: "tenants have no egress path until the new machine runs",
}

// Server is a machine that runs Squid.
type Server struct {
	ResourceMeta
	// Role is the role of the machine.
	Role          string
	Zone          string
	Type          string
	Image         string // label
	VolumeGB      int32
	SecurityGroup *SecurityGroup
	// CloudInit is the user data that the server boots from. Nil for an observed
	// server without it.
	CloudInit []byte
	// Running reports whether the server runs or is about to; of observed servers
	// only.
	Running bool
	// VolumeID is the ID of the boot volume. It is empty until the server exists.
	VolumeID string
}

// Key implements Resource.
func (s *Server) Key() Key { return Key{KindServer, s.Role} }

// Needs implements Resource.
func (s *Server) Needs() []Resource { return []Resource{s.SecurityGroup} }

// Fields implements Resource.
func (s *Server) Fields() []Field {
	const fixed = "a machine keeps the parts that it was created with"
	return []Field{
		{Name: "name", Value: s.Name},
		{Name: "zone", Value: s.Zone, Fixed: "a machine stays in its zone"},
		{Name: "type", Value: s.Type, Fixed: fixed},
		{Name: "image", Value: s.Image, Fixed: fixed},
		{Name: "volume", Value: gigabytes(s.VolumeGB), Fixed: fixed},
		{Name: "security group", Value: idOf(&s.SecurityGroup.ResourceMeta)},
		{Name: "cloud-init", Value: s.bootedFrom(), Fixed: "a machine reads it at its first boot only"},
	}
}

// bootedFrom is the hash of the user data that the server boots from, or has
// booted from. A server that has never run accepts any.
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

// shortHash returns a hash by which people can tell long values apart.
func shortHash(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:4])
}

// CopyObserved implements Resource.
func (s *Server) CopyObserved(observed Resource) {
	s.copyObserved(observed)
	if server, ok := observed.(*Server); ok {
		s.VolumeID = server.VolumeID
	}
}

var powerRow = kindRow{
	kind: KindPower, creating: "starting", created: "started", property: true,
	server: typed(func(p *Power) *Server { return p.Server }),
}

// Power is the running state of a server.
type Power struct {
	ResourceMeta
	Server *Server
	// Before are the resources that must be complete when the server boots.
	Before []Resource
}

// Key implements Resource.
func (p *Power) Key() Key { return Key{KindPower, p.Server.Role} }

// Needs implements Resource.
func (p *Power) Needs() []Resource { return append([]Resource{p.Server}, p.Before...) }

// Fields implements Resource.
func (*Power) Fields() []Field { return nil }

// CopyObserved implements Resource.
func (p *Power) CopyObserved(observed Resource) { p.copyObserved(observed) }
