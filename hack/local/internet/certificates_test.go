package internet

import (
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCreateCertificates(t *testing.T) {
	folder := t.TempDir()
	var before []byte
	for range 2 { // the second time, files are replaced
		files, err := CreateCertificates(folder, []string{"echo.example", "api.example"}, []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::1")})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(CertificatesIn(folder), files); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		roots := x509.NewCertPool()
		roots.AddCert(readCertificate(t, files.CA))
		leaf := readCertificate(t, files.Certificate)
		for _, host := range []string{"echo.example", "api.example", "192.0.2.10", "2001:db8::1"} {
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
				t.Errorf("%s: %v", host, err)
			}
		}
		for _, host := range []string{"x.echo.example", "example", "192.0.2.11"} {
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err == nil {
				t.Errorf("holds for %s", host)
			}
		}
		key, err := os.ReadFile(files.Key)
		if err != nil {
			t.Fatal(err)
		}
		if string(key) == string(before) {
			t.Error("the same key again")
		}
		before = key
	}

	modes := map[string]fs.FileMode{}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		modes[entry.Name()] = info.Mode()
	}
	// No further file: no temporary file, and no key of the authority.
	if diff := cmp.Diff(map[string]fs.FileMode{"ca.crt": 0o644, "tls.crt": 0o644, "tls.key": 0o600}, modes); diff != "" {
		t.Errorf("files, -want +got:\n%s", diff)
	}
}

func TestCreateCertificatesNamesUnwritableFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "missing")
	if _, err := CreateCertificates(folder, nil, nil); err == nil {
		t.Error("written to a folder that does not exist")
	}
}

func readCertificate(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 {
		t.Fatalf("%s: not one block of PEM", file)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
