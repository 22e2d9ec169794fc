package policy

// Ports of plain HTTP and of TLS, which tenants are allowed that list none.
const (
	PortHTTP = 80
	PortTLS  = 443
)

// List is what a tenant may reach, in normal form.
type List struct {
	// Mode is never empty.
	Mode Mode
	// Domains are sorted, and none covers another.
	Domains []Domain
	// Ports are sorted, and never empty.
	Ports []uint16
}
