package noproxy

import (
	_ "embed"
	"strings"

	"egress.scw/webhook/api/internal/dnsname"
)

// topLevelDomains are the public top-level domains in punycode, each on a line: those
// of the list of golang.org/x/net/publicsuffix, which cannot be asked for all of them.
//
//go:embed toplevel.txt
var topLevelDomains string

// IsBareName reports whether clients that find the label alone in NO_PROXY take it for
// nothing but a name without a domain, as Services have them. For most clients, "app"
// covers the hosts of the top-level domain of this name. A dozen clients compare
// without regard to labels, so that for them "rg" covers example.org, and "1" covers
// 192.0.2.1.
func IsBareName(label string) bool {
	return !strings.Contains(topLevelDomains, label+"\n") && !dnsname.IsNumber(label)
}
