package environment

import (
	"strings"
	"testing"
)

// A network of pods that does not exist is refused before anything is built.
func TestUnknownCNI(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", CNIRouted} {
		if err := CheckCNI(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := CheckCNI("calico"); err == nil || !strings.Contains(err.Error(), `"calico" is unknown: use routed or cilium`) {
		t.Errorf("error %v; want one that names the networks", err)
	}
}
