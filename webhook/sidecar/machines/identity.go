package machines

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// Protocols that are offered on a connection.
var (
	http2Only = []string{"h2"}
	http1Only = []string{"http/1.1"}
)

// errForeign: the machine has another certificate.
var errForeign = errors.New("the machine has another certificate than config.json states; a new machine reports its own to bootstrap, which writes it into values.yaml: upgrade the chart with it")

// pinned trusts exactly these certificates. The names and dates in them are not
// judged: they come from the machine itself by a trusted way.
func pinned(trusted []*x509.Certificate, own *tls.Certificate, protocols []string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		NextProtos:   protocols,
		Certificates: []tls.Certificate{*own},
		// Each connection proves the tenant anew, and lives long: a session of an
		// older certificate is not resumed.
		SessionTicketsDisabled: true,
		// Else the first 128 KiB are written in records of 1.4 KiB.
		DynamicRecordSizingDisabled: true,
		InsecureSkipVerify:          true, //nolint:gosec // VerifyConnection compares the whole certificate instead of the names in it
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, certificate := range trusted {
				if bytes.Equal(certificate.Raw, state.PeerCertificates[0].Raw) {
					return nil
				}
			}
			return errForeign
		},
	}
}

// explain adds the cure to errors of TLS, whose texts are those of a protocol. patience
// is the time that the machine had.
func explain(err error, patience time.Duration) error {
	var operation *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &operation) && operation.Op == "remote error" && strings.Contains(err.Error(), "tls:"):
		return fmt.Errorf("the machine refused the tenant's certificate (%w): its authority is not the machine's, or it has expired; see the Certificate of the tenant in the webhook's namespace", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the machine did not answer within %s", patience)
	}
	return err
}
