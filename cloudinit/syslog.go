package cloudinit

import (
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxSyslogCA is the maximum length of the certificates in bytes. They are the
// largest part of the user data.
const maxSyslogCA = 16_384

// Syslog is a server that receives the audit log by syslog over TLS (RFC 5425).
// Lines are sent only if its certificate is valid and contains its name. The proxy
// has no client certificate, because its key would be a secret in user data.
type Syslog struct {
	// Host is the full DNS name of the server, as in its certificate: in lower
	// case, with a dot, and not an address.
	Host string `json:"host"`

	// Address is the IPv4 address of the server, neither loopback nor link-local.
	// Default: the address that the system of the proxy resolves Host to.
	Address netip.Addr `json:"address,omitzero"`

	// Port is the port of the server, 1 to 65535.
	Port int32 `json:"port,omitempty"`

	// CA contains the certificates (PEM) of the authorities that may have signed
	// the certificate of the server, at most 16384 bytes. They are public. Default:
	// the authorities that Debian trusts.
	CA string `json:"ca,omitempty"`
}

// Validate returns everything that is wrong with the server once its defaults
// are set.
func (s *Syslog) Validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if problem := serverNameProblem(s.Host); problem != "" {
		errs = append(errs, field.Invalid(at.Child("host"), s.Host, problem))
	}
	if s.Address.IsValid() && (!s.Address.Is4() || !s.Address.IsGlobalUnicast()) {
		errs = append(errs, field.Invalid(at.Child("address"), s.Address.String(), "must be the IPv4 address of one machine that is neither loopback nor link-local"))
	}
	if s.Port < 1 || s.Port > 65535 {
		errs = append(errs, field.Invalid(at.Child("port"), s.Port, "must be between 1 and 65535"))
	}
	if s.CA != "" {
		if _, err := s.Authorities(); err != nil {
			errs = append(errs, field.Invalid(at.Child("ca"), field.OmitValueType{}, err.Error()))
		}
	}
	return errs
}

// target is the destination of the connection: the address or, failing that, the
// name.
func (s *Syslog) target() string {
	if s.Address.IsValid() {
		return s.Address.String()
	}
	return s.Host
}

// serverNameProblem explains why a name cannot be in the certificate of the
// server, or returns an empty string.
func serverNameProblem(name string) string {
	switch _, err := netip.ParseAddr(name); {
	case err == nil:
		return "must be the name in the certificate of the server: set its IP address in the field address"
	case !strings.Contains(name, ".") || len(validation.IsDNS1123Subdomain(name)) > 0:
		return "must be a full DNS name in lower case, such as logs.example.com"
	}
	return ""
}

// Authorities returns the certificates of CA as PEM blocks, without the text
// around them. It is an error if CA contains no certificate, or PEM blocks of
// another type.
func (s *Syslog) Authorities() ([]byte, error) { return certificatesIn(s.CA, maxSyslogCA) }
