package dnsname

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

// TestMaxLength: the bound is Kubernetes' one.
func TestMaxLength(t *testing.T) {
	t.Parallel()
	if MaxLength != validation.DNS1123SubdomainMaxLength {
		t.Errorf("%d, Kubernetes has %d", MaxLength, validation.DNS1123SubdomainMaxLength)
	}
}

// FuzzSubdomainAgreesWithKubernetes compares the check of a name's form with
// Kubernetes' own, which this package does not link. Kubernetes has no underscores.
func FuzzSubdomainAgreesWithKubernetes(f *testing.F) {
	for _, name := range []string{
		"", ".", "a", "a.b", "a..b", ".a", "a.", "-a", "a-", "a-b", "a.-b", "a.b-", "A", "a_b", "a b", "a\n", "a\x00", "\xff", "ä", "1", "0-0",
		"example.com", "xn--bcher-kva.example", "r3---sn-apo3qvuox.example", "a`b", "a{b", "a/b", "a:b", "a@b", "a[b",
		strings.Repeat("a", 64), strings.Repeat("a.", 126) + "a", strings.Repeat("a.", 126) + "ab", strings.Repeat("a", 254),
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := len(name) <= MaxLength && isSubdomain(name)
		if want := len(validation.IsDNS1123Subdomain(strings.ReplaceAll(name, "_", "x"))) == 0; got != want {
			t.Errorf("%q: %t, Kubernetes: %t", name, got, want)
		}
	})
}
