package environment

import (
	"fmt"

	"egress.scw/hack/local/node"
)

// Networks of pods.
const (
	// CNIRouted is the plugin ptp with the enforcer of package netpol.
	CNIRouted = "routed"
	// CNICilium is the pinned version of Cilium.
	CNICilium = "cilium"
)

// CheckCNI returns an error if there is no such network of pods, or if this
// machine cannot run it. The error has every reason. The empty name is
// CNIRouted's.
func CheckCNI(name string) error {
	switch name {
	case "", CNIRouted:
		return nil
	case CNICilium:
		return node.CheckCilium()
	}
	return fmt.Errorf("CNI %q is unknown: use %s or %s", name, CNIRouted, CNICilium)
}
