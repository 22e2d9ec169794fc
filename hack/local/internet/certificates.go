package internet

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"egress.scw/hack/local/pki"
)

// Certificates are paths of PEM files.
type Certificates struct {
	// CA is the certificate of the authority that clients must trust.
	CA string
	// Certificate and Key are used by the internet's HTTPS servers.
	Certificate, Key string
}

// CertificatesIn returns the paths to which CreateCertificates writes.
func CertificatesIn(folder string) Certificates {
	return Certificates{
		CA:          filepath.Join(folder, "ca.crt"),
		Certificate: filepath.Join(folder, "tls.crt"),
		Key:         filepath.Join(folder, "tls.key"),
	}
}

// CreateCertificates makes an authority, and a certificate of it for these
// names and addresses. It writes them to an existing folder, and replaces
// existing files. The authority's key is not kept, so that no further
// certificate can be issued.
func CreateCertificates(folder string, names []string, addresses []netip.Addr) (Certificates, error) {
	files := CertificatesIn(folder)
	authority, err := pki.NewAuthority("egress local internet")
	if err != nil {
		return Certificates{}, fmt.Errorf("making the certificate authority: %w", err)
	}
	hosts := append([]string(nil), names...)
	for _, address := range addresses {
		hosts = append(hosts, address.String())
	}
	server, err := authority.Issue(pki.Leaf{Hosts: hosts})
	if err != nil {
		return Certificates{}, fmt.Errorf("making the certificate: %w", err)
	}
	if err := server.Write(folder, "tls"); err != nil {
		return Certificates{}, err
	}
	return files, os.WriteFile(files.CA, authority.Public, 0o644)
}
