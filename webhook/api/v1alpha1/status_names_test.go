package v1alpha1

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// "kubectl describe" splits the names of fields at their capital letters, and does not
// know plurals of abbreviations: egressIPs became "Egress I Ps".
func TestDescribeSplitsNamesIntoWords(t *testing.T) {
	t.Parallel()
	broken := regexp.MustCompile(`[A-Z]{2,}[a-z]`)
	for field := range reflect.TypeFor[EgressTenantStatus]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if broken.MatchString(name) {
			t.Errorf("status.%s: kubectl describe splits the abbreviation", name)
		}
	}
	if !broken.MatchString("egressIPs") || broken.MatchString("proxyURL") {
		t.Error("the pattern does not distinguish egressIPs from proxyURL")
	}
}
