package cloudinit

import (
	"encoding/pem"
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/cloudinit/squid"
)

// Identity selects the proof by which a proxy knows the tenant of a request.
type Identity string

// The proofs of tenants: the port that a NetworkPolicy admits the pod to, or the
// certificate of the pod's sidecar.
const (
	// IdentityPort serves tenants on their ports.
	IdentityPort Identity = "Port"
	// IdentityOffered serves sidecars as well.
	IdentityOffered Identity = "Offered"
	// IdentityRequired serves sidecars only: the tenants' ports are closed.
	IdentityRequired Identity = "Required"
)

// Identities returns all values of Identity.
func Identities() []Identity {
	return []Identity{IdentityPort, IdentityOffered, IdentityRequired}
}

// Sidecars returns whether the proxy serves sidecars. A machine that was created for
// one of the other kind has other files.
func (i Identity) Sidecars() bool { return i == IdentityOffered || i == IdentityRequired }

// MaxTenantsOfTwoPorts is the maximum number of tenants with IdentityOffered.
const MaxTenantsOfTwoPorts = squid.MaxTenantsOfTwoPorts

// SidecarConnections is the maximum number of open connections from one address to the
// port for sidecars. A sidecar has one connection, and some more for plain HTTP;
// the address is a node's, if pods are masqueraded.
const SidecarConnections = 1000

// maxAuthority is the maximum length of the authority's certificates in bytes. Two
// certificates, while the authority is replaced, have about 2,000.
const maxAuthority = 8_192

// ValidateAuthority returns everything that is wrong with the certificates (PEM) of
// the authority that signs the tenants' certificates.
func ValidateAuthority(authority string, at *field.Path) field.ErrorList {
	if _, err := certificatesIn(authority, maxAuthority); err != nil {
		return field.ErrorList{field.Invalid(at, field.OmitValueType{}, err.Error())}
	}
	return nil
}

// sidecarAddress is the address of loopback on which Squid receives the requests of
// sidecars from HAProxy.
var sidecarAddress = netip.AddrFrom4([4]byte{127, 0, 0, 1})

func (m Machine) validateIdentity(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch m.Identity {
	case "", IdentityPort, IdentityOffered, IdentityRequired:
	default:
		errs = append(errs, field.NotSupported(at.Child("identity"), m.Identity, Identities()))
	}
	if m.Authority == "" {
		return errs
	}
	if !m.Identity.Sidecars() {
		return append(errs, field.Forbidden(at.Child("authority"), "with identity Port no certificate is verified"))
	}
	return append(errs, ValidateAuthority(m.Authority, at.Child("authority"))...)
}

// authorities are the certificates of Authority (DER).
func (m Machine) authorities() ([][]byte, error) {
	if m.Authority == "" {
		return nil, nil
	}
	text, err := certificatesIn(m.Authority, maxAuthority)
	if err != nil {
		return nil, err
	}
	var result [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		result = append(result, block.Bytes)
	}
	return result, nil
}
