package policy

// The default ports of a tenant: plain HTTP and TLS.
const (
	PortHTTP = 80
	PortTLS  = 443
)

// List is a tenant's allow list in normal form, in which neither the order nor the
// spelling of its entries shows.
type List struct {
	// Mode is never empty.
	Mode Mode
	// Domains are sorted, and no domain covers another.
	Domains []Domain
	// Ports are sorted, each is in the list once, and there is at least one.
	Ports []uint16
}
