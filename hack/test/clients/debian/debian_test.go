package debian

import (
	"slices"
	"testing"

	"egress.scw/hack/test/clients/matrix"
)

// Packages of npm and Go are installed in another way, and each of Debian's once.
func TestPackages(t *testing.T) {
	got := Packages([]matrix.Client{
		{Package: "debian:php8.2-curl", Needs: []string{"php8.2-cli"}}, {Package: "npm:axios"}, {Package: "go:go"}, {Package: "debian:netbase"},
	})
	if want := []string{"ca-certificates", "ca-certificates-java", "netbase", "php8.2-cli", "php8.2-curl"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
