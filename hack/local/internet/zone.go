package internet

import (
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
)

// Zone are names and their addresses. Every other name does not exist.
type Zone map[string][]netip.Addr

// canonical returns the zone with its names as DNS compares them.
func (z Zone) canonical() (Zone, error) {
	result := make(Zone, len(z))
	for name, addresses := range z {
		if _, ok := dns.IsDomainName(name); !ok || name == "" {
			return nil, fmt.Errorf("%q is no domain name", name)
		}
		canonical := dns.CanonicalName(name)
		if _, exists := result[canonical]; exists {
			return nil, fmt.Errorf("%s is there twice", canonical)
		}
		for _, address := range addresses {
			if !address.IsValid() {
				return nil, fmt.Errorf("%s has an address that is none", canonical)
			}
		}
		result[canonical] = addresses
	}
	return result, nil
}
