package stack

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// The kinds of a proxy's public addresses.
const (
	KindFlexibleIP Kind = "flexible-ip"
	KindAttachment Kind = "attachment"
)

var flexibleIPRow = kindRow{
	kind:         KindFlexibleIP,
	deletedAfter: []Kind{KindServer},
	state: typed(func(a *FlexibleIP) string {
		if a.ServerID == "" {
			return "not attached"
		}
		return cmp.Or(a.State, StateAttached)
	}),
	loss: typed(func(a *FlexibleIP) string {
		return fmt.Sprintf("the address %s goes back to Scaleway, and cannot be recovered", a.Address)
	}),
}

// FlexibleIP is a public address of a proxy machine, in its zone. Its role is its use,
// which is RoleShared, RoleMetadata, or the RoleTenant of the tenant that it is dedicated
// to. Before the use, the addresses of all machines but the first have the machine's role
// and a slash.
type FlexibleIP struct {
	ResourceMeta
	Role string
	Zone string
	// Address is invalid until the resource exists.
	Address netip.Addr
	// ServerID is the ID of the server that the address is attached to, or empty;
	// of observed addresses only.
	ServerID string
	// State is StateAttached, or the API's term while the attachment is in progress or
	// has failed; of observed addresses with a server only.
	State string
}

// StateAttached is the state of an address that its server can use.
const StateAttached = "attached"

// RoleShared is the role of the address that all tenants without a dedicated
// address share. A tenant cannot have this name as its role: RoleTenant adds a
// prefix.
const RoleShared = "shared"

// RoleMetadata is the role of an address that no request leaves from. A proxy
// whose requests leave through the gateway has it, because an Instance without a
// public address cannot reach the metadata service, which it boots from.
const RoleMetadata = "metadata"

// RoleTenant returns the role of the address that is dedicated to a tenant.
func RoleTenant(name string) string { return "tenant/" + name }

// addressRole returns the role of an address of a machine for a use.
func addressRole(machine, use string) string {
	if machine == roleProxy {
		return use
	}
	return machine + "/" + use
}

// Use returns the use of the address: its role without the machine.
func (a *FlexibleIP) Use() string {
	if machine, use, ok := strings.Cut(a.Role, "/"); ok && strings.HasPrefix(machine, roleProxy+"-") {
		return use
	}
	return a.Role
}

// Tenant returns the tenant that the address is dedicated to, or an empty string.
func (a *FlexibleIP) Tenant() string {
	tenant, ok := strings.CutPrefix(a.Use(), RoleTenant(""))
	if !ok {
		return ""
	}
	return tenant
}

// Key implements Resource.
func (a *FlexibleIP) Key() Key { return Key{KindFlexibleIP, a.Role} }

// Needs implements Resource.
func (*FlexibleIP) Needs() []Resource { return nil }

// Fields implements Resource.
func (*FlexibleIP) Fields() []Field { return nil }

// CopyObserved implements Resource.
func (a *FlexibleIP) CopyObserved(observed Resource) {
	a.copyObserved(observed)
	if address, ok := observed.(*FlexibleIP); ok {
		a.Address = address.Address
	}
}

var attachmentRow = kindRow{
	kind: KindAttachment, creating: "attaching", created: "attached", property: true,
	server: typed(func(a *Attachment) *Server { return a.Server }),
}

// Attachment attaches a flexible address to a server. An address is attached to
// one server at a time, so the attachment's role is the address's.
type Attachment struct {
	ResourceMeta
	IP     *FlexibleIP
	Server *Server
	// State is StateAttached, or the API's term.
	State string
}

// Key implements Resource.
func (a *Attachment) Key() Key { return Key{KindAttachment, a.IP.Role} }

// Needs implements Resource.
func (a *Attachment) Needs() []Resource { return []Resource{a.IP, a.Server} }

// Fields implements Resource.
func (a *Attachment) Fields() []Field {
	return []Field{{Name: "server", Value: idOf(&a.Server.ResourceMeta)}, {Name: "status", Value: a.State}}
}

// CopyObserved implements Resource.
func (a *Attachment) CopyObserved(observed Resource) { a.copyObserved(observed) }
