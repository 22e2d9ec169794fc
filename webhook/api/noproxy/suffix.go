package noproxy

import (
	"strings"

	"golang.org/x/net/publicsuffix"
)

// CoversPublicHosts says whether the entry would make clients bypass the proxy
// for hosts that have nothing in common but a registry, or for all of them.
func (e Entry) CoversPublicHosts() bool {
	if e.IsName() {
		return IsPublicSuffix(e.String())
	}
	return strings.HasSuffix(e.String(), "/0")
}

// IsPublicSuffix says whether anyone may register names directly below this
// one: "com", "app", "co.uk", "github.io".
func IsPublicSuffix(name string) bool {
	if listedSuffix(name) {
		return true
	}
	// "*.pg" is how the list writes a domain below which every name is a public
	// suffix. It has no rule for "pg" itself, which covers even more.
	return listedSuffix("x." + name)
}

// listedSuffix says whether the name is a suffix by a rule of the list rather
// than by its default, which takes any unknown top-level domain ("svc",
// "team-a") for one.
func listedSuffix(name string) bool {
	suffix, icann := publicsuffix.PublicSuffix(name)
	return suffix == name && (icann || strings.Contains(suffix, "."))
}
