package stack

// KindPrivateNIC is the kind of PrivateNIC.
const KindPrivateNIC Kind = "private-nic"

var privateNICRow = kindRow{
	kind: KindPrivateNIC, server: typed(func(n *PrivateNIC) *Server { return n.Server }), deletedAlone: true,
}

// PrivateNIC connects a server to the Private Network, with its reserved address.
// On a stopped server it is available at once, on a running server after a
// minute.
type PrivateNIC struct {
	ResourceMeta
	Server    *Server
	Network   *PrivateNetwork
	PrivateIP *PrivateIP
}

// Key implements Resource.
func (n *PrivateNIC) Key() Key { return Key{KindPrivateNIC, n.Server.Role} }

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
func (n *PrivateNIC) CopyObserved(observed Resource) { n.copyObserved(observed) }
