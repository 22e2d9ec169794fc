package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// maxSyslogCA is how long the certificates may be, in bytes: they travel in user
// data, where they are the largest part.
const maxSyslogCA = 16_384

// Validate returns everything that is wrong with the server once its defaults
// are set.
func (s *SyslogConfig) Validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if problem := serverNameProblem(s.Host); problem != "" {
		errs = append(errs, field.Invalid(at.Child("host"), s.Host, problem))
	}
	if s.Address != "" {
		address, err := netip.ParseAddr(s.Address)
		if err != nil || !address.Is4() || !address.IsGlobalUnicast() {
			errs = append(errs, field.Invalid(at.Child("address"), s.Address, "must be the IPv4 address of one machine that is neither loopback nor link-local"))
		}
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

// serverNameProblem says why a name can be none that a certificate holds.
func serverNameProblem(name string) string {
	switch _, err := netip.ParseAddr(name); {
	case err == nil:
		return "must be a name, which the server's certificate holds; where it is reached goes into address"
	case !strings.Contains(name, ".") || len(validation.IsDNS1123Subdomain(name)) > 0:
		return "must be a full DNS name in lower case, such as logs.example.com"
	}
	return ""
}

// Authorities returns the certificates of CA, each in one form (PEM) whatever
// surrounded it. It is an error if there is none, or anything but certificates.
func (s *SyslogConfig) Authorities() ([]byte, error) {
	if len(s.CA) > maxSyslogCA {
		return nil, fmt.Errorf("must have at most %d bytes", maxSyslogCA)
	}
	var result []byte
	for rest := []byte(s.CA); len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil:
			return nil, errors.New("must be certificates in PEM, and nothing else")
		case block.Type != "CERTIFICATE":
			return nil, fmt.Errorf("must hold certificates only, holds %q: what is in here is no secret", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, fmt.Errorf("holds a certificate that cannot be read: %w", err)
		}
		result = append(result, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	if len(result) == 0 {
		return nil, errors.New("must be certificates in PEM")
	}
	return result, nil
}
