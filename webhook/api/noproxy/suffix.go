package noproxy

import (
	"strings"

	"golang.org/x/net/publicsuffix"
)

// CoversPublicHosts reports whether the entry would make clients bypass the proxy
// for all hosts, or for all hosts below a public suffix, which belong to different
// owners.
func (e Entry) CoversPublicHosts() bool {
	if e.IsName() {
		return IsPublicSuffix(e.String())
	}
	return strings.HasSuffix(e.String(), "/0")
}

// IsPublicSuffix reports whether anyone can register names directly below this
// name: "com", "app", "co.uk", "github.io".
func IsPublicSuffix(name string) bool {
	if listedSuffix(name) {
		return true
	}
	// The list contains "*.pg" for a domain below which every name is a public
	// suffix. It has no rule for "pg" itself, which covers even more.
	return listedSuffix("x." + name)
}

// listedSuffix reports whether a rule of the list makes the name a suffix. The
// list's default does not count: by it, any unknown top-level domain ("svc",
// "team-a") is a suffix.
func listedSuffix(name string) bool {
	suffix, icann := publicsuffix.PublicSuffix(name)
	return suffix == name && (icann || strings.Contains(suffix, "."))
}
