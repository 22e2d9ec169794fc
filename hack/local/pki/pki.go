// Package pki issues throw-away certificates, for clusters and servers that
// exist as long as a test or a demonstration. cert-manager's library makes them.
package pki

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
	"k8s.io/client-go/util/keyutil"
)

// validity is longer than an environment is left running.
const validity = 365 * 24 * time.Hour

// Pair is a private key and its certificate or public key, in PEM.
type Pair struct {
	Public, Key []byte
}

// Write writes dir/name.crt and, readable by its owner only, dir/name.key.
func (p Pair) Write(dir, name string) error {
	if err := os.WriteFile(filepath.Join(dir, name+".key"), p.Key, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, name+".crt"), p.Public, 0o644)
}

// Authority signs certificates.
type Authority struct {
	Pair
	certificate *x509.Certificate
	key         crypto.Signer
}

// NewAuthority makes an authority with this common name. Its certificate is
// signed by its own key.
func NewAuthority(name string) (*Authority, error) {
	return sign(nil, certmanager.CertificateSpec{
		CommonName: name, IsCA: true,
		Usages: []certmanager.KeyUsage{certmanager.UsageCertSign, certmanager.UsageCRLSign, certmanager.UsageDigitalSignature},
	}, validity)
}

// OpenAuthority returns the authority with this certificate and its key, which another
// program has made.
func OpenAuthority(pair Pair) (*Authority, error) {
	certificate, err := pki.DecodeX509CertificateBytes(pair.Public)
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate: %w", err)
	}
	key, err := pki.DecodePrivateKeyBytes(pair.Key)
	if err != nil {
		return nil, fmt.Errorf("the authority's key: %w", err)
	}
	return &Authority{pair, certificate, key}, nil
}

// Leaf is a certificate to be issued.
type Leaf struct {
	// User and Group are the subject's common name and organisation. Kubernetes
	// reads them from client certificates.
	User, Group string
	// Hosts are the names and addresses of a server. Empty: a client.
	Hosts []string
	// Validity is the time until it expires. Negative: it has expired. Zero: a year.
	Validity time.Duration
}

// Issue makes a key and a certificate for it.
func (a *Authority) Issue(l Leaf) (Pair, error) {
	spec := certmanager.CertificateSpec{
		CommonName: l.User,
		Usages:     []certmanager.KeyUsage{certmanager.UsageDigitalSignature, certmanager.UsageClientAuth},
	}
	if l.Group != "" {
		spec.Subject = &certmanager.X509Subject{Organizations: []string{l.Group}}
	}
	for _, host := range l.Hosts {
		if net.ParseIP(host) != nil {
			spec.IPAddresses = append(spec.IPAddresses, host)
		} else {
			spec.DNSNames = append(spec.DNSNames, host)
		}
	}
	if len(l.Hosts) > 0 {
		spec.Usages = append(spec.Usages, certmanager.UsageServerAuth)
	}
	issued, err := sign(a, spec, cmp.Or(l.Validity, validity))
	if err != nil {
		return Pair{}, err
	}
	return issued.Pair, nil
}

// sign makes a key, and a certificate for it that the issuer signs. Without an
// issuer the certificate is signed by its own key.
func sign(issuer *Authority, spec certmanager.CertificateSpec, valid time.Duration) (*Authority, error) {
	spec.PrivateKey = &certmanager.CertificatePrivateKey{Algorithm: certmanager.ECDSAKeyAlgorithm}
	certificate := &certmanager.Certificate{Spec: spec}
	key, err := pki.GeneratePrivateKeyForCertificate(certificate)
	if err != nil {
		return nil, err
	}
	template, err := pki.CertificateTemplateFromCertificate(certificate)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(valid) // clocks differ
	template.MaxPathLenZero = spec.IsCA                                         // it signs no further authorities
	if issuer == nil {
		issuer = &Authority{certificate: template, key: key}
	}
	public, signed, err := pki.SignCertificate(template, issuer.certificate, key.Public(), issuer.key)
	if err != nil {
		return nil, err
	}
	private, err := pki.EncodePKCS8PrivateKey(key)
	return &Authority{Pair{Public: public, Key: private}, signed, key}, err
}

// NewServiceAccountKeys makes the pair that signs service account tokens. Its
// public part is a bare key: RSA, which every verifier of such tokens supports.
func NewServiceAccountKeys() (Pair, error) {
	key, err := pki.GenerateRSAPrivateKey(pki.MinRSAKeySize)
	if err != nil {
		return Pair{}, err
	}
	private, err := pki.EncodePKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	return Pair{Public: pem.EncodeToMemory(&pem.Block{Type: keyutil.PublicKeyBlockType, Bytes: public}), Key: private}, err
}
