package stack

import "net/netip"

// Statuses that resources have when they are ready, in one word for all.
const statusReady = "ready"

// VPC holds the Private Network that bootstrap makes.
type VPC struct{ ResourceMeta }

// Key implements Resource.
func (*VPC) Key() Key { return Key{Kind: KindVPC} }

// Needs implements Resource.
func (*VPC) Needs() []Resource { return nil }

// Fields implements Resource.
func (v *VPC) Fields() []Field { return []Field{{Name: "name", Value: v.Name}} }

// CopyObserved implements Resource.
func (v *VPC) CopyObserved(observed Resource) { v.adopt(observed) }

// adopt takes over what the API decides of every resource. The name is what
// is wanted.
func (m *ResourceMeta) adopt(observed Resource) {
	base := observed.Meta()
	m.ID, m.CreatedAt = base.ID, base.CreatedAt
}

// PrivateNetwork connects proxy, gateway and nodes.
type PrivateNetwork struct {
	ResourceMeta
	VPC  *VPC // nil if the network is given
	CIDR netip.Prefix
}

// Key implements Resource.
func (*PrivateNetwork) Key() Key { return Key{Kind: KindPrivateNetwork} }

// Needs implements Resource.
func (n *PrivateNetwork) Needs() []Resource {
	if n.VPC == nil {
		return nil
	}
	return []Resource{n.VPC}
}

// Fields implements Resource.
func (n *PrivateNetwork) Fields() []Field {
	fields := []Field{
		{Name: "name", Value: n.Name},
		{Name: "cidr", Value: n.CIDR.String(), Fixed: "a Private Network keeps its range"},
	}
	if n.VPC != nil {
		fields = append(fields, Field{Name: "vpc", Value: idOf(&n.VPC.ResourceMeta), Fixed: "a Private Network stays in its VPC"})
	}
	return fields
}

// CopyObserved implements Resource.
func (n *PrivateNetwork) CopyObserved(observed Resource) {
	n.adopt(observed)
	if n.Existing {
		network := observed.(*PrivateNetwork)
		n.Name, n.CIDR = network.Name, network.CIDR
	}
}

// Gateway is the Public Gateway.
type Gateway struct {
	ResourceMeta
	Type string
	// Address is the one that it translates to; invalid until it is made.
	Address netip.Addr
	// Status is "ready", or what the API calls it.
	Status string
}

// Key implements Resource.
func (*Gateway) Key() Key { return Key{Kind: KindGateway} }

// Needs implements Resource.
func (*Gateway) Needs() []Resource { return nil }

// Fields implements Resource.
func (g *Gateway) Fields() []Field {
	return []Field{
		{Name: "name", Value: g.Name},
		{Name: "type", Value: g.Type},
		{Name: "status", Value: g.Status},
	}
}

// CopyObserved implements Resource.
func (g *Gateway) CopyObserved(observed Resource) {
	g.adopt(observed)
	g.Address = observed.(*Gateway).Address
}

// GatewayNetwork attaches the gateway to the Private Network.
type GatewayNetwork struct {
	ResourceMeta
	Gateway      *Gateway
	Network      *PrivateNetwork
	Masquerade   bool
	DefaultRoute bool
	// Status is "ready", or what the API calls it.
	Status string
}

// Key implements Resource.
func (*GatewayNetwork) Key() Key { return Key{Kind: KindGatewayNetwork} }

// Needs implements Resource.
func (n *GatewayNetwork) Needs() []Resource { return []Resource{n.Gateway, n.Network} }

// Fields implements Resource.
func (n *GatewayNetwork) Fields() []Field {
	const fixed = "an attachment joins one gateway and one network"
	return []Field{
		{Name: "gateway", Value: idOf(&n.Gateway.ResourceMeta), Fixed: fixed},
		{Name: "network", Value: idOf(&n.Network.ResourceMeta), Fixed: fixed},
		{Name: "masquerade", Value: yesNo(n.Masquerade)},
		{Name: "default route", Value: yesNo(n.DefaultRoute)},
		{Name: "status", Value: n.Status},
	}
}

// CopyObserved implements Resource.
func (n *GatewayNetwork) CopyObserved(observed Resource) { n.adopt(observed) }

// PrivateIP is an address of the Private Network that is booked for the proxy,
// so that it survives the machine.
type PrivateIP struct {
	ResourceMeta
	Network *PrivateNetwork
	Address netip.Addr
}

// Key implements Resource.
func (*PrivateIP) Key() Key { return Key{Kind: KindPrivateIP} }

// Needs implements Resource.
func (a *PrivateIP) Needs() []Resource { return []Resource{a.Network} }

// Fields implements Resource.
func (a *PrivateIP) Fields() []Field {
	return []Field{
		{Name: "address", Value: a.Address.String(), Fixed: "a booking is of one address"},
		{Name: "network", Value: idOf(&a.Network.ResourceMeta), Fixed: "a booking is in one network"},
	}
}

// CopyObserved implements Resource.
func (a *PrivateIP) CopyObserved(observed Resource) { a.adopt(observed) }

// FlexibleIP is a public address of the proxy. Its role is RoleShared,
// RoleMetadata, or RoleTenant of the tenant that it is dedicated to.
type FlexibleIP struct {
	ResourceMeta
	Role string
	// Address is invalid until it is made.
	Address netip.Addr
	// ServerID is the server that it is attached to, if it is; of observed
	// addresses only.
	ServerID string
}

// RoleShared is the role of the address of all tenants that have none of their
// own. No tenant can have this name in its stead: a tenant's role has a prefix.
const RoleShared = "shared"

// RoleMetadata is the role of the address by which nothing leaves: with egress
// Gateway the proxy has it because an Instance without a public address cannot
// reach the metadata service, which it boots from.
const RoleMetadata = "metadata"

// RoleTenant is the role of the address that is dedicated to a tenant.
func RoleTenant(name string) string { return "tenant/" + name }

// Key implements Resource.
func (a *FlexibleIP) Key() Key { return Key{KindFlexibleIP, a.Role} }

// Needs implements Resource.
func (*FlexibleIP) Needs() []Resource { return nil }

// Fields implements Resource.
func (*FlexibleIP) Fields() []Field { return nil }

// CopyObserved implements Resource.
func (a *FlexibleIP) CopyObserved(observed Resource) {
	a.adopt(observed)
	a.Address = observed.(*FlexibleIP).Address
}

// Attachment gives a flexible address to the server.
type Attachment struct {
	ResourceMeta
	IP     *FlexibleIP
	Server *Server
}

// Key implements Resource.
func (a *Attachment) Key() Key { return Key{KindAttachment, a.IP.Role} }

// Needs implements Resource.
func (a *Attachment) Needs() []Resource { return []Resource{a.IP, a.Server} }

// Fields implements Resource.
func (a *Attachment) Fields() []Field {
	return []Field{{Name: "server", Value: idOf(&a.Server.ResourceMeta)}}
}

// CopyObserved implements Resource.
func (a *Attachment) CopyObserved(observed Resource) { a.adopt(observed) }
