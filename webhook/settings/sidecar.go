package settings

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/api/v1alpha1"
)

func (p *parser) identity(text string, path *field.Path) v1alpha1.Identity {
	identity := v1alpha1.Identity(text)
	if !slices.Contains(v1alpha1.Identities(), identity) {
		p.add(field.NotSupported(path, identity, v1alpha1.Identities()))
	}
	return identity
}

// machines parses the machines of the proxy. NetworkPolicies admit sidecars to the
// proxy's addresses alone.
func (p *parser) machines(list []FileMachine, addresses []netip.Addr, path *field.Path) []Machine {
	if len(list) > sidecar.MaxMachines {
		p.add(field.TooMany(path, len(list), sidecar.MaxMachines))
	}
	var machines []Machine
	taken := sets.New[netip.Addr]()
	for i, file := range list {
		at := path.Index(i)
		address, ok := p.address(file.Address, at.Child("address"), nil)
		switch {
		case !ok:
		case taken.Has(address):
			p.add(field.Duplicate(at.Child("address"), file.Address))
		case !slices.Contains(addresses, address):
			p.add(field.Invalid(at.Child("address"), file.Address, "must be one of proxy.addresses"))
		}
		taken.Insert(address)
		certificate, err := parseCertificates(file.Certificate)
		if err != nil {
			p.add(field.Invalid(at.Child("certificate"), shortened(file.Certificate), err.Error()))
		}
		machines = append(machines, Machine{Address: address, Certificate: certificate})
	}
	return machines
}

// parseCertificates returns the certificates in the usual form of PEM, without headers
// and text around them.
func parseCertificates(text string) (string, error) {
	var all []byte
	rest := []byte(text)
	for count := 0; count == 0 || strings.TrimSpace(string(rest)) != ""; count++ {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil || block.Type != "CERTIFICATE":
			return "", errors.New("must be a certificate in PEM: -----BEGIN CERTIFICATE-----")
		case count == sidecar.MaxCertificates:
			return "", fmt.Errorf("must have at most %d certificates", sidecar.MaxCertificates)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", fmt.Errorf("is not a certificate: %w", err)
		}
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	return string(all), nil
}

// shortened returns the beginning of a value for an error.
func shortened(text string) string {
	const most = 40
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// sidecar parses the image of the sidecar. The API server accepts every image without
// white space.
func (p *parser) sidecar(f FileSidecar, path *field.Path) Sidecar {
	if strings.ContainsAny(f.Image, " \t\r\n") {
		p.add(field.Invalid(path.Child("image"), f.Image, "must be the name of an image, without white space"))
	}
	return Sidecar(f)
}
