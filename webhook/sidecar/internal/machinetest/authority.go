// Package machinetest has certificates and proxy machines for tests.
package machinetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
)

// Authority issues the certificates of tenants.
type Authority struct {
	Pool        *x509.CertPool
	PEM         []byte
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority makes an authority.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "sidecars"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	certificate, key := issue(t, template, nil, nil)
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return &Authority{pool, encode("CERTIFICATE", certificate.Raw), certificate, key}
}

// Tenant issues a certificate that is valid for some time, and returns it and its key
// in PEM.
func (a *Authority) Tenant(t testing.TB, name string, valid time.Duration) (certificate, key []byte) {
	t.Helper()
	template := &x509.Certificate{
		Subject:  pkix.Name{CommonName: name, Organization: []string{names.CertificateOrganization}},
		NotAfter: time.Now().Add(valid), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	issued, private := issue(t, template, a.certificate, a.key)
	return encode("CERTIFICATE", issued.Raw), encodeKey(t, private)
}

// TenantPair is Tenant for crypto/tls, for an hour.
func (a *Authority) TenantPair(t testing.TB, name string) *tls.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(a.Tenant(t, name, time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

// MachineCertificate makes the certificate of a machine, and returns it and its key in
// PEM.
func MachineCertificate(t testing.TB) (certificate, key []byte) {
	t.Helper()
	issued, private := issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "egress-proxy"}}, nil, nil)
	return encode("CERTIFICATE", issued.Raw), encodeKey(t, private)
}

// issue signs a certificate, by itself without a parent.
func issue(t testing.TB, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

func encodeKey(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return encode("PRIVATE KEY", der)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
