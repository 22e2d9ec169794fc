package names

import "strconv"

// Objects of cert-manager in the namespace of the webhook.
const (
	// SidecarIssuer is the name of the Issuer of the tenants' certificates.
	SidecarIssuer = "egress-sidecar"
)

// SidecarCertificate returns the name of the Certificate of the tenant on a port, and
// of the Secret that cert-manager writes for it. It contains the port and not the
// tenant's name: rights can be restricted to names that are known in advance, of
// which there is one for each port, and none is that of another object.
func SidecarCertificate(port int32) string {
	return SidecarIssuer + "-" + strconv.Itoa(int(port))
}
