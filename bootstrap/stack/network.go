package stack

import "net/netip"

// The kinds of networks.
const (
	KindVPC            Kind = "vpc"
	KindPrivateNetwork Kind = "private-network"
)

var vpcRow = kindRow{kind: KindVPC, deletedAfter: []Kind{KindPrivateNetwork}}

// VPC contains the Private Network that bootstrap creates.
type VPC struct{ ResourceMeta }

// Key implements Resource.
func (*VPC) Key() Key { return Key{Kind: KindVPC} }

// Needs implements Resource.
func (*VPC) Needs() []Resource { return nil }

// Fields implements Resource.
func (v *VPC) Fields() []Field { return []Field{{Name: "name", Value: v.Name}} }

// CopyObserved implements Resource.
func (v *VPC) CopyObserved(observed Resource) { v.copyObserved(observed) }

var privateNetworkRow = kindRow{
	kind:         KindPrivateNetwork,
	deletedAfter: []Kind{KindGatewayNetwork, KindPrivateIP, KindServer, KindPrivateNIC, KindCluster, KindPool},
}

// PrivateNetwork connects proxies, gateway and nodes.
type PrivateNetwork struct {
	ResourceMeta
	VPC  *VPC // nil for an existing network that egress.yaml names
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

// CopyObserved implements Resource. The range of an existing network is the
// observed one.
func (n *PrivateNetwork) CopyObserved(observed Resource) {
	n.copyObserved(observed)
	if network, ok := observed.(*PrivateNetwork); ok && n.Existing {
		n.Name, n.CIDR = network.Name, network.CIDR
	}
}
