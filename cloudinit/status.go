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

	"golang.org/x/crypto/ssh"
)

// MaxStatus is the maximum size of a value of UserDataStatus, in bytes.
const MaxStatus = 2048

// Status is the state of a machine, as the machine writes it into its own user data:
// when it changes, and every 10 minutes. While the machine serves a drained squid.conf, it
// looks every few seconds whether it has changed.
type Status struct {
	// Time is the time of the report.
	Time time.Time `json:"time"`
	// Boot is the time at which the machine booted.
	Boot time.Time `json:"boot"`
	// Squid is the version of Squid, as in 6.13.
	Squid string `json:"squid"`
	// Certificate is the certificate of the port for sidecars, in PEM. It changes with
	// the machine. Empty if the machine serves no sidecars, or has just booted.
	Certificate string `json:"certificate,omitempty"`
	// HostKeys are the public keys of the machine for SSH, as in a known_hosts file
	// without the name. They change with the machine. Empty without SSH.
	HostKeys []string `json:"hostKeys,omitempty"`
	// Served identifies the value of UserDataSquidConf that is served: Digest. Empty if
	// none is since the boot.
	Served string `json:"served,omitempty"`
	// Since is the time since which it is served.
	Since time.Time `json:"since,omitzero"`
	// Revisions are the served revisions by the tenant's name. They are missing if the
	// report would be larger than MaxStatus with them.
	Revisions map[string]string `json:"revisions,omitempty"`
	// Connections is the number of open connections on the tenants' ports, while the
	// machine serves a drained squid.conf. Nil otherwise, and of earlier versions.
	Connections *int `json:"connections,omitempty"`
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
// can write any value: it is an error if this one is too large, not a Status, if its
// certificate is not exactly one certificate, a host key not a public key, or a number
// negative.
func ParseStatus(value []byte) (*Status, error) {
	if len(value) > MaxStatus {
		return nil, fmt.Errorf("the status of the machine has more than %d bytes", MaxStatus)
	}
	decoder := json.NewDecoder(bytes.NewReader(value))
	var status Status
	if err := decoder.Decode(&status); err != nil {
		return nil, fmt.Errorf("the status of the machine cannot be parsed: %w", err)
	}
	if status.Certificate != "" {
		if err := checkCertificate(status.Certificate); err != nil {
			return nil, err
		}
	}
	if status.Connections != nil && *status.Connections < 0 {
		return nil, errors.New("the status of the machine has a negative number of connections")
	}
	for _, key := range status.HostKeys {
		parsed, comment, options, _, err := ssh.ParseAuthorizedKey([]byte(key))
		if err != nil || comment != "" || options != nil || string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(parsed))) != key {
			return nil, errors.New("the status of the machine contains a host key that is not a public key of SSH")
		}
	}
	return &status, nil
}

func checkCertificate(text string) error {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("the status of the machine does not contain exactly one certificate")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return fmt.Errorf("the certificate in the status of the machine: %w", err)
	}
	return nil
}
