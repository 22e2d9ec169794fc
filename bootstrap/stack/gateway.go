package stack

import "net/netip"

// The kinds of the Public Gateway.
const (
	KindGateway        Kind = "gateway"
	KindGatewayNetwork Kind = "gateway-network"
)

var gatewayRow = kindRow{
	kind:         KindGateway,
	deletedAfter: []Kind{KindGatewayNetwork},
	state:        typed(func(g *Gateway) string { return g.Status }),
	loss:         always("its public address, which cannot be recovered"),
}

// Gateway is the Public Gateway.
type Gateway struct {
	ResourceMeta
	// Zone is a zone of the region. The network spans all of them.
	Zone string
	Type string
	// Address is the gateway's public address, which it translates private
	// addresses to. It is invalid until the gateway exists.
	Address netip.Addr
	// Status is "ready", or the API's term.
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
		{Name: "zone", Value: g.Zone, Fixed: "a gateway stays in its zone"},
		{Name: "type", Value: g.Type},
		{Name: "status", Value: g.Status},
	}
}

// CopyObserved implements Resource.
func (g *Gateway) CopyObserved(observed Resource) {
	g.copyObserved(observed)
	if gateway, ok := observed.(*Gateway); ok {
		g.Address = gateway.Address
	}
}

var gatewayNetworkRow = kindRow{kind: KindGatewayNetwork, state: typed(func(n *GatewayNetwork) string { return n.Status })}

// GatewayNetwork attaches the gateway to the Private Network.
type GatewayNetwork struct {
	ResourceMeta
	Gateway      *Gateway
	Network      *PrivateNetwork
	Masquerade   bool
	DefaultRoute bool
	// Status is "ready", or the API's term.
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
func (n *GatewayNetwork) CopyObserved(observed Resource) { n.copyObserved(observed) }
