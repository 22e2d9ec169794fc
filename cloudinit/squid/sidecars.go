package squid

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// MaxTenantsOfTwoPorts is the maximum number of tenants that have a port for pods and
// a port for sidecars. Squid is compiled to listen on 128 ports, one of which is the
// manager's.
const MaxTenantsOfTwoPorts = 63

// authorityPrefix begins a comment line "# authority DER" for each authority that
// signs the certificates of tenants. The machine reads it: DER is in base64.
const authorityPrefix = "# authority "

// HasAuthority reports whether a rendered squid.conf has an authority that signs the
// certificates of tenants. Without one, the machine closes its port for sidecars.
func HasAuthority(conf []byte) bool {
	return bytes.HasPrefix(conf, []byte(authorityPrefix)) || bytes.Contains(conf, []byte("\n"+authorityPrefix))
}

// Sidecars returns whether Squid serves sidecars.
func (c Config) Sidecars() bool { return c.SidecarAddress.IsValid() }

// ServesSidecars returns whether a rendered squid.conf has ports for sidecars.
func ServesSidecars(conf []byte) bool { return bytes.Contains(conf, []byte(" require-proxy-header")) }

func (c Config) validateSidecars(tenants []v1alpha1.Tenant, at *field.Path) field.ErrorList {
	if !c.Sidecars() {
		var errs field.ErrorList
		if c.SidecarsOnly {
			errs = append(errs, field.Required(at.Child("sidecarAddress"), "must be set with sidecarsOnly: Squid would serve no client"))
		}
		if len(c.Authorities) > 0 {
			errs = append(errs, field.Forbidden(at.Child("authorities"), "without sidecarAddress no certificate is verified"))
		}
		return errs
	}
	var errs field.ErrorList
	if problem := sidecarAddressProblem(c.SidecarAddress, c.ListenAddress); problem != "" {
		errs = append(errs, field.Invalid(at.Child("sidecarAddress"), c.SidecarAddress.String(), problem))
	}
	proxied := 0
	for _, tenant := range tenants {
		if tenant.IsProxied() {
			proxied++
		}
	}
	if !c.SidecarsOnly && proxied > MaxTenantsOfTwoPorts {
		errs = append(errs, field.Invalid(at.Child("sidecarAddress"), c.SidecarAddress.String(),
			fmt.Sprintf("%d tenants with two ports each are more than the %d that Squid can listen for", proxied, MaxTenantsOfTwoPorts)))
	}
	return errs
}

// sidecarAddressProblem describes the fault of the address that sidecars' requests
// arrive at, or returns an empty string.
func sidecarAddressProblem(address, listen netip.Addr) string {
	switch {
	case !address.Is4() || !address.IsLoopback():
		return "must be an IPv4 address of loopback: other machines could imitate sidecars"
	case address == listen:
		return "must not be listenAddress, whose requests have no certificate"
	}
	return ""
}

// Certified is the ACL of requests with the tenant's certificate: HAProxy writes the
// name in the certificate into a header.
func (t tenant) Certified() string { return "c_" + strings.TrimPrefix(t.Listener, "l_") }

// sidecarHeaders are the names of the headers between sidecar, HAProxy and Squid.
type sidecarHeaders struct{ Tenant, Namespace, Pod string }

func newSidecarHeaders() sidecarHeaders {
	return sidecarHeaders{names.HeaderTenant, names.HeaderNamespace, names.HeaderPod}
}
