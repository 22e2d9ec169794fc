package cloudinit

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// certificatesIn returns the certificates in a text as PEM blocks, without the text
// around them. It is an error if the text has more bytes than limit, contains no
// certificate, or PEM blocks of another type.
func certificatesIn(text string, limit int) ([]byte, error) {
	if len(text) > limit {
		return nil, fmt.Errorf("must have at most %d bytes", limit)
	}
	var result []byte
	for rest := []byte(text); len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil:
			return nil, errors.New("must contain only certificates in PEM")
		case block.Type != "CERTIFICATE":
			return nil, fmt.Errorf("must contain only certificates, contains %q: secrets must not be in user data", block.Type)
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, fmt.Errorf("contains a certificate that cannot be parsed: %w", err)
		}
		result = append(result, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	if len(result) == 0 {
		return nil, errors.New("must be certificates in PEM")
	}
	return result, nil
}
