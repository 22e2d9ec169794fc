// Package secret reads the files of the Secret that is mounted in the sidecar.
package secret

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
)

// Content is a configuration with the certificate that belongs to it.
type Content struct {
	Config      *sidecar.Config
	Certificate *tls.Certificate
}

// ErrMissing is the error of a Secret that does not exist yet, or has no such key.
var ErrMissing = errors.New("is missing")

// Digest identifies the content of the files.
type Digest [sha256.Size]byte

// Load reads the files of a folder. The error joins the problems of all files. The
// digest is that of the files, whether they are valid or not.
func Load(folder string) (*Content, Digest, error) {
	files, err := read(folder)
	digest := Digest(sha256.Sum256(bytes.Join(files, []byte{0})))
	if err != nil {
		return nil, digest, err
	}
	config, configErr := sidecar.Parse(files[0])
	if configErr != nil {
		configErr = fmt.Errorf("%s: %w", names.SidecarConfigKey, configErr)
	}
	certificate, keyErr := tls.X509KeyPair(files[1], files[2])
	if keyErr != nil {
		keyErr = fmt.Errorf("%s and %s: %w", names.SidecarCertificateKey, names.SidecarPrivateKeyKey, keyErr)
	}
	if err := errors.Join(configErr, keyErr); err != nil {
		return nil, digest, err
	}
	if subject := certificate.Leaf.Subject; subject.CommonName != config.Tenant || !slices.Equal(subject.Organization, []string{names.CertificateOrganization}) {
		return nil, digest, fmt.Errorf("%s is of %q, and not of the tenant %q in %s", names.SidecarCertificateKey, subject, config.Tenant, names.SidecarConfigKey)
	}
	return &Content{config, &certificate}, digest, nil
}

// read returns the files' content, all of one version of the Secret: the kubelet
// exchanges the link ..data of the folder, and removes the former version.
func read(folder string) ([][]byte, error) {
	for {
		version := current(folder)
		files, err := readVersion(version)
		if current(folder) == version {
			return files, err
		}
	}
}

// current is the folder of the present version.
func current(folder string) string {
	version, err := filepath.EvalSymlinks(filepath.Join(folder, "..data"))
	if err != nil {
		return folder // not a volume of Kubernetes, or an empty one
	}
	return version
}

func readVersion(folder string) ([][]byte, error) {
	var files [][]byte
	var errs []error
	for _, name := range []string{names.SidecarConfigKey, names.SidecarCertificateKey, names.SidecarPrivateKeyKey} {
		content, err := os.ReadFile(filepath.Join(folder, name)) //nolint:gosec // the folder of the flag
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = fmt.Errorf("%s %w", name, ErrMissing)
		case err == nil && len(content) > sidecar.MaxBytes:
			err = fmt.Errorf("%s has more than %d bytes", name, sidecar.MaxBytes)
		}
		errs = append(errs, err)
		files = append(files, content)
	}
	return files, errors.Join(errs...)
}
