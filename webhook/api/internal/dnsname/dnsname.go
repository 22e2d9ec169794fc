// Package dnsname brings domain names into normal form.
package dnsname

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"
)

// MaxLength is the length of the longest domain name in normal form, in bytes.
const MaxLength = 253

// Normalize returns a domain name, which must not begin or end in a dot, in
// lower case and punycode. The error states why the text is not a domain name.
func Normalize(text string) (string, error) {
	// As browsers look names up: in particular, names such as
	// "r3---sn-apo3qvuox.example" are in use, although IDNA forbids such hyphens.
	// isSubdomain checks the characters, because names in DNS may have underscores
	// (those of buckets and of verification records do), but names of hosts not.
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.CheckHyphens(false), idna.VerifyDNSLength(true), idna.StrictDomainName(false))
	name, err := profile.ToASCII(text)
	if err != nil {
		return "", fmt.Errorf("is not a domain name: %w", err)
	}
	name = strings.ToLower(name)
	if len(name) > MaxLength {
		return "", fmt.Errorf("is not a domain name: it has more than %d characters", MaxLength)
	}
	if !isSubdomain(name) {
		return "", errors.New("is not a domain name: its labels may contain letters, digits, underscores and hyphens, and must not begin or end with a hyphen")
	}
	if IsNumber(name[strings.LastIndexByte(name, '.')+1:]) {
		// inet_aton, and with it many clients, reads "10.1", "2130706433" and
		// "0x7f.1" as addresses; no top-level domain is numeric (RFC 3696,
		// section 2).
		return "", errors.New("ends in a number, but is not an IP address in the usual form")
	}
	return name, nil
}

// isSubdomain reports whether the name has the form of a subdomain of RFC 1123
// in lower case, as Kubernetes defines it, its length aside. Underscores count as
// letters.
func isSubdomain(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return false
			}
		}
	}
	return true
}

// IsNumber reports whether clients read a label, in lower case, as a number,
// decimal, octal or hexadecimal (URL Standard, "ends in a number").
func IsNumber(label string) bool {
	if digits, hexadecimal := strings.CutPrefix(label, "0x"); hexadecimal {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
