package capture

import (
	"fmt"

	"github.com/miekg/dns"
)

// SearchDomains returns the search domains of a file in the format of resolv.conf.
func SearchDomains(file string) ([]string, error) {
	config, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("the search domains cannot be read: %w", err)
	}
	return config.Search, nil
}
