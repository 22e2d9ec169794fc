package internet

import (
	"fmt"
	"net/netip"

	"github.com/miekg/dns"
)

// Zone are host names and their addresses. No other names exist.
type Zone map[string][]netip.Addr

// canonical returns the zone with its names in the form that DNS compares.
func (z Zone) canonical() (Zone, error) {
	result := make(Zone, len(z))
	for name, addresses := range z {
		if _, ok := dns.IsDomainName(name); !ok || name == "" {
			return nil, fmt.Errorf("%q is not a domain name", name)
		}
		canonical := dns.CanonicalName(name)
		if _, exists := result[canonical]; exists {
			return nil, fmt.Errorf("%s is duplicated", canonical)
		}
		for _, address := range addresses {
			if !address.IsValid() {
				return nil, fmt.Errorf("%s has an invalid address", canonical)
			}
		}
		result[canonical] = addresses
	}
	return result, nil
}
