package internet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// certificateLifetime is longer than any environment is left running.
const certificateLifetime = 365 * 24 * time.Hour

// Certificates are files of PEM.
type Certificates struct {
	// CA is the certificate of the authority: what clients must trust.
	CA string
	// Certificate and Key are what the internet serves HTTPS with.
	Certificate, Key string
}

// CertificatesIn returns where CreateCertificates puts its files.
func CertificatesIn(folder string) Certificates {
	return Certificates{
		CA:          filepath.Join(folder, "ca.crt"),
		Certificate: filepath.Join(folder, "tls.crt"),
		Key:         filepath.Join(folder, "tls.key"),
	}
}

// CreateCertificates makes an authority, and a certificate of it for these
// names and addresses, in a folder that exists. Each file appears whole or not
// at all; one that is there is replaced. The authority's key is forgotten:
// nobody can issue a further certificate.
func CreateCertificates(folder string, names []string, addresses []netip.Addr) (Certificates, error) {
	files := CertificatesIn(folder)
	authority, authorityKey, err := issue(&x509.Certificate{
		Subject:               pkix.Name{CommonName: "egress local internet"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}, nil, nil)
	if err != nil {
		return Certificates{}, fmt.Errorf("making the certificate authority: %w", err)
	}
	template := &x509.Certificate{
		DNSNames:    names,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, address := range addresses {
		template.IPAddresses = append(template.IPAddresses, net.IP(address.AsSlice()))
	}
	leaf, leafKey, err := issue(template, authority, authorityKey)
	if err != nil {
		return Certificates{}, fmt.Errorf("making the certificate: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return Certificates{}, fmt.Errorf("encoding the key: %w", err)
	}
	for _, file := range []struct {
		name, kind string
		content    []byte
		mode       fs.FileMode
	}{
		{files.Key, "PRIVATE KEY", key, 0o600},
		{files.Certificate, "CERTIFICATE", leaf.Raw, 0o644},
		{files.CA, "CERTIFICATE", authority.Raw, 0o644},
	} {
		block := pem.EncodeToMemory(&pem.Block{Type: file.kind, Bytes: file.content})
		if err := writeAtomically(file.name, block, file.mode); err != nil {
			return Certificates{}, err
		}
	}
	return files, nil
}

// issue completes the template and signs it with the authority's key, or, if
// there is no authority, with its own.
func issue(template, authority *x509.Certificate, authorityKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template.SerialNumber = serial
	template.NotBefore = now.Add(-time.Hour) // clocks differ
	template.NotAfter = now.Add(certificateLifetime)
	if authority == nil {
		authority, authorityKey = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, authority, key.Public(), authorityKey)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(raw)
	return certificate, key, err
}

// writeAtomically writes a file that nobody ever sees half-written.
func writeAtomically(name string, content []byte, mode fs.FileMode) error {
	temporary, err := os.CreateTemp(filepath.Dir(name), ".*."+filepath.Base(name))
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", name, err), os.Remove(temporary.Name()))
	}
	return nil
}
