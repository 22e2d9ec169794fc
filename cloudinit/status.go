package cloudinit

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// MaxStatus is the maximum size of a value of UserDataStatus, in bytes.
const MaxStatus = 2048

// Status is the state of a machine that serves sidecars, as the machine writes it into
// its own user data: when it changes, and every 10 minutes.
type Status struct {
	// Time is the time of the report.
	Time time.Time `json:"time"`
	// Boot is the time at which the machine booted.
	Boot time.Time `json:"boot"`
	// Squid is the version of Squid, as in 6.13.
	Squid string `json:"squid"`
	// Certificate is the certificate of the port for sidecars, in PEM. It changes with
	// the machine.
	Certificate string `json:"certificate"`
	// Served identifies the value of UserDataSquidConf that is served: Digest. Empty if
	// none is since the boot.
	Served string `json:"served,omitempty"`
	// Since is the time since which it is served.
	Since time.Time `json:"since,omitzero"`
	// Revisions are the served revisions by the tenant's name. They are missing if the
	// report would be larger than MaxStatus with them.
	Revisions map[string]string `json:"revisions,omitempty"`
	// Refused identifies the value of UserDataSquidConf that is refused: Digest. Empty
	// if the newest value is not refused.
	Refused string `json:"refused,omitempty"`
	// Reason is the reason of the refusal, shortened to 300 bytes.
	Reason string `json:"reason,omitempty"`
}

// Digest identifies a value of UserDataSquidConf in a Status.
func Digest(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:])
}

// ParseStatus parses a value of UserDataStatus. Every process of root on the machine
// can write any value: it is an error if this one is too large, not a Status, or if its
// certificate is not exactly one certificate.
func ParseStatus(value []byte) (*Status, error) {
	if len(value) > MaxStatus {
		return nil, fmt.Errorf("the status of the machine has more than %d bytes", MaxStatus)
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	var status Status
	if err := decoder.Decode(&status); err != nil {
		return nil, fmt.Errorf("the status of the machine cannot be parsed: %w", err)
	}
	block, rest := pem.Decode([]byte(status.Certificate))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errors.New("the status of the machine does not contain exactly one certificate")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return nil, fmt.Errorf("the certificate in the status of the machine: %w", err)
	}
	return &status, nil
}
