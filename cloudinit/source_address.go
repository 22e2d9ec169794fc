package cloudinit

// SourceAddress selects the address that the requests of tenants leave by.
type SourceAddress string

// The addresses that requests can leave by: flexible IPs of the proxy machine, or
// the address of the Public Gateway.
const (
	SourceFlexibleIP SourceAddress = "FlexibleIP"
	SourceGateway    SourceAddress = "Gateway"
)
