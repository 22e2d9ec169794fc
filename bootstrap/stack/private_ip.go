package stack

import "net/netip"

// KindPrivateIP is the kind of PrivateIP.
const KindPrivateIP Kind = "private-ip"

var privateIPRow = kindRow{kind: KindPrivateIP, deletedAfter: []Kind{KindServer, KindPrivateNIC}}

// PrivateIP is an address of the Private Network that is reserved for a proxy, so
// that the address outlives the machine.
type PrivateIP struct {
	ResourceMeta
	// Role is the role of the machine.
	Role    string
	Network *PrivateNetwork
	Address netip.Addr
	// Free is whether IPAM chooses the address. It is invalid until the resource exists.
	Free bool
}

// Key implements Resource.
func (a *PrivateIP) Key() Key { return Key{KindPrivateIP, a.Role} }

// Needs implements Resource.
func (a *PrivateIP) Needs() []Resource { return []Resource{a.Network} }

// Fields implements Resource.
func (a *PrivateIP) Fields() []Field {
	return []Field{
		{Name: "address", Value: a.addressText(), Fixed: "a reservation is for one address"},
		{Name: "network", Value: idOf(&a.Network.ResourceMeta), Fixed: "a reservation is in one network"},
	}
}

func (a *PrivateIP) addressText() string {
	if !a.Address.IsValid() {
		return Unknown
	}
	return a.Address.String()
}

// CopyObserved implements Resource.
func (a *PrivateIP) CopyObserved(observed Resource) {
	a.copyObserved(observed)
	if ip, ok := observed.(*PrivateIP); ok && a.Free {
		a.Address = ip.Address
	}
}
