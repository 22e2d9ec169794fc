package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"egress.scw/hack/local/pki"
)

// Every certificate matches its key, is valid already, and is trusted for its
// own purpose by clients that trust the authority.
func TestIssue(t *testing.T) {
	authority, err := pki.NewAuthority("test-ca")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.Public)
	for name, test := range map[string]struct {
		leaf    pki.Leaf
		host    string
		purpose x509.ExtKeyUsage
		refused x509.ExtKeyUsage
	}{
		"client":  {leaf: pki.Leaf{User: "admin", Group: "system:masters"}, purpose: x509.ExtKeyUsageClientAuth, refused: x509.ExtKeyUsageServerAuth},
		"name":    {leaf: pki.Leaf{User: "etcd", Hosts: []string{"localhost", "127.0.0.1"}}, host: "localhost", purpose: x509.ExtKeyUsageServerAuth},
		"address": {leaf: pki.Leaf{User: "etcd", Hosts: []string{"localhost", "127.0.0.1"}}, host: "127.0.0.1", purpose: x509.ExtKeyUsageClientAuth},
		"no user": {leaf: pki.Leaf{Hosts: []string{"echo.example"}}, host: "echo.example", purpose: x509.ExtKeyUsageServerAuth},
	} {
		t.Run(name, func(t *testing.T) {
			pair, err := authority.Issue(test.leaf)
			if err != nil {
				t.Fatal(err)
			}
			certificate, err := tls.X509KeyPair(pair.Public, pair.Key)
			if err != nil {
				t.Fatal(err)
			}
			options := x509.VerifyOptions{Roots: roots, DNSName: test.host, KeyUsages: []x509.ExtKeyUsage{test.purpose}}
			for _, at := range []time.Time{time.Now().Add(-30 * time.Minute), time.Now().Add(364 * 24 * time.Hour)} {
				options.CurrentTime = at
				if _, err := certificate.Leaf.Verify(options); err != nil {
					t.Errorf("at %v: %v", at, err)
				}
			}
			if got := certificate.Leaf.Subject; got.CommonName != test.leaf.User || len(got.Organization) > 0 && got.Organization[0] != test.leaf.Group {
				t.Errorf("subject %v, want %+v", got, test.leaf)
			}
			if test.refused != 0 {
				options.KeyUsages = []x509.ExtKeyUsage{test.refused}
				if _, err := certificate.Leaf.Verify(options); err == nil {
					t.Errorf("the certificate is trusted for usage %v as well", test.refused)
				}
			}
		})
	}
}

// A certificate expires when its leaf says so, also in the past.
func TestValidity(t *testing.T) {
	authority, err := pki.NewAuthority("test-ca")
	if err != nil {
		t.Fatal(err)
	}
	for _, validity := range []time.Duration{-time.Minute, time.Hour} {
		start := time.Now().Truncate(time.Second)
		pair, err := authority.Issue(pki.Leaf{User: "client-a", Validity: validity})
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := tls.X509KeyPair(pair.Public, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		if end := certificate.Leaf.NotAfter; end.Before(start.Add(validity)) || end.After(time.Now().Add(validity)) {
			t.Errorf("it expires at %s, %s after %s is wanted", end, validity, start)
		}
	}
}

// An authority that was written issues certificates that its clients trust.
func TestOpenAuthority(t *testing.T) {
	made, err := pki.NewAuthority("test-ca")
	if err != nil {
		t.Fatal(err)
	}
	opened, err := pki.OpenAuthority(made.Pair)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := opened.Issue(pki.Leaf{User: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(pair.Public, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(made.Public)
	if _, err := certificate.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	for name, broken := range map[string]pki.Pair{"certificate": {Key: made.Key}, "key": {Public: made.Public}} {
		if _, err := pki.OpenAuthority(broken); err == nil {
			t.Errorf("no error without the %s", name)
		}
	}
}
