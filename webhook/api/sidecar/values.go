package sidecar

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"egress.scw/webhook/api/internal/dnsname"
)

// maxTenant is the length of the longest name of an EgressTenant.
const maxTenant = 63

func tenant(text string) (string, error) {
	normal, err := dnsname.Normalize(text)
	if err != nil || normal != text || len(text) > maxTenant || strings.ContainsAny(text, "._") {
		return "", fmt.Errorf("must be the name of an EgressTenant: at most %d lower-case letters, digits and hyphens, not %.80q", maxTenant, text)
	}
	return text, nil
}

func domain(text string) (string, error) {
	normal, err := dnsname.Normalize(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("%.80q %w", text, err)
	case normal != text:
		return "", fmt.Errorf("must be %q, the normal form of %.80q", normal, text)
	}
	return text, nil
}

func address(text string) (netip.AddrPort, error) {
	parsed, err := netip.ParseAddrPort(text)
	if err != nil || parsed.Port() == 0 || parsed.Addr().IsUnspecified() || parsed.Addr().IsMulticast() || parsed.Addr().Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("must be an address and a port, such as 172.16.28.8:3443, not %.80q", text)
	}
	if parsed.String() != text {
		return netip.AddrPort{}, fmt.Errorf("must be %q, the usual form of %.80q", parsed, text)
	}
	return parsed, nil
}

func network(text string) (netip.Prefix, error) {
	parsed, err := netip.ParsePrefix(text)
	if err != nil || parsed.Masked().String() != text {
		return netip.Prefix{}, fmt.Errorf("must be a range of addresses without host bits, such as 10.32.0.0/20, not %.80q", text)
	}
	return parsed, nil
}

func certificate(text string) (string, error) {
	_, err := ParseCertificates(text)
	return text, err
}

// ParseCertificates reads the certificates of a machine: one or more in PEM, at most
// MaxCertificates.
func ParseCertificates(text string) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	rest := []byte(text)
	for len(strings.TrimSpace(string(rest))) > 0 {
		block, behind := pem.Decode(rest)
		if block == nil {
			return nil, errors.New("must be a certificate in PEM, with no other text behind it")
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("must be a certificate in PEM, not %.80q", block.Type)
		}
		if len(certificates) == MaxCertificates {
			return nil, fmt.Errorf("has more than %d certificates", MaxCertificates)
		}
		parsed, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("has a certificate that cannot be read: %w", err)
		}
		certificates = append(certificates, parsed)
		rest = behind
	}
	if len(certificates) == 0 {
		return nil, errors.New("must be a certificate in PEM, and is empty")
	}
	return certificates, nil
}
