package cloudinit

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"egress.scw/cloudinit/squid"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

const (
	// maxSquidConfValue is the maximum size of a value of UserDataSquidConf, in
	// bytes. It is below Scaleway's own maximum, so that a plan reports a value
	// that is too large, and not the machine.
	maxSquidConfValue = 120_000

	// maxSquidConf is the maximum size of a decoded squid.conf, here and on the
	// machine.
	maxSquidConf = 16 << 20
)

// Addresses are the flexible addresses of a machine with SourceFlexibleIP. A
// machine with SourceGateway has none.
type Addresses struct {
	// Shared is the source address of all tenants that are not Dedicated.
	Shared netip.Addr

	// Dedicated are the source addresses of the Dedicated tenants, by the
	// tenant's name.
	Dedicated map[string]netip.Addr
}

// SquidConf returns the squid.conf of a machine that serves these tenants, whose
// order does not matter. The error lists everything that is wrong with the
// arguments, with the paths of the fields; then there is no file.
func SquidConf(machine Machine, tenants []v1alpha1.Tenant, addresses Addresses) ([]byte, error) {
	authorities, err := machine.authorities()
	if err != nil {
		return nil, fmt.Errorf("machine.authority: %w", err)
	}
	config := squid.Config{
		ListenAddress:      machine.PrivateAddress,
		StatusPort:         names.StatusPort,
		ClientNetworks:     []netip.Prefix{machine.PrivateNetwork},
		EgressAddress:      addresses.Shared,
		DedicatedAddresses: addresses.Dedicated,
		NameServers:        machine.NameServers,
		Certificate:        certificate,
		ErrorPages:         errorPages,
		AuditLog:           AuditLog,
		AuditWriter:        auditProgram,
		CacheLog:           cacheLog,
		PIDFile:            pidFile,
	}
	if machine.SourceAddress == SourceGateway {
		config.EgressAddress = machine.PrivateAddress
	}
	if machine.Identity.Sidecars() {
		config.SidecarAddress, config.SidecarsOnly, config.Authorities = sidecarAddress, machine.Identity == IdentityRequired, authorities
	}
	return squid.Render(config, tenants)
}

// Revisions returns the revisions of the tenants in a value of UserDataSquidConf,
// by the tenant's name. A value that is not a squid.conf has none.
func Revisions(value []byte) map[string]string {
	conf, err := DecodeSquidConf(value)
	if err != nil {
		return nil
	}
	return squid.Revisions(conf)
}

// Ports returns the tenants in a value of UserDataSquidConf, by their ports. A value
// that is not a squid.conf has none.
func Ports(value []byte) map[string]string {
	conf, err := DecodeSquidConf(value)
	if err != nil {
		return nil
	}
	return squid.Ports(conf)
}

// HasAuthority reports whether a value of UserDataSquidConf has an authority that signs the
// certificates of sidecars.
func HasAuthority(value []byte) bool {
	conf, err := DecodeSquidConf(value)
	return err == nil && squid.HasAuthority(conf)
}

// ServesSidecars returns whether a value of UserDataSquidConf is a squid.conf for sidecars.
func ServesSidecars(value []byte) bool {
	conf, err := DecodeSquidConf(value)
	return err == nil && squid.ServesSidecars(conf)
}

// DrainedSquidConf returns the value of UserDataSquidConf with which a machine leaves the
// tenants' Services: that of squid.Drained for a present value. A value of that kind is
// returned as it is. It is an error if the value is not a squid.conf that has such a form.
func DrainedSquidConf(value []byte) ([]byte, error) {
	conf, err := DecodeSquidConf(value)
	if err != nil {
		return nil, err
	}
	if squid.IsDrained(conf) {
		return value, nil
	}
	drained, err := squid.Drained(conf)
	if err != nil {
		return nil, err
	}
	return EncodeSquidConf(drained)
}

// EncodeSquidConf returns the value of UserDataSquidConf for a squid.conf:
// compressed, in base64. The same file gives the same value. It is an error if the
// file is empty or larger than 16 MiB, or if the value would be larger than
// 120,000 bytes; the error contains advice on reducing the size.
func EncodeSquidConf(conf []byte) ([]byte, error) {
	switch {
	case len(conf) == 0:
		return nil, errors.New("squid.conf is empty")
	case len(conf) > maxSquidConf:
		return nil, fmt.Errorf("squid.conf has %d bytes, more than the %d that a proxy decodes: %s", len(conf), maxSquidConf, adviceTooLarge)
	}
	var value bytes.Buffer
	text := base64.NewEncoder(base64.StdEncoding, &value)
	// The header has no file name and no time, which would differ each time.
	compressed, err := gzip.NewWriterLevel(text, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = compressed.Write(conf)
	if err := errors.Join(err, compressed.Close(), text.Close()); err != nil {
		return nil, fmt.Errorf("compressing squid.conf: %w", err)
	}
	if value.Len() > maxSquidConfValue {
		return nil, fmt.Errorf("squid.conf takes %d bytes of user data (gzip, base64), more than the %d that are allowed: %s", value.Len(), maxSquidConfValue, adviceTooLarge)
	}
	return value.Bytes(), nil
}

const adviceTooLarge = "shorten the tenants' lists of domains (.example.com covers all names below it), or divide the tenants among several proxies"

// DecodeSquidConf is the reverse of EncodeSquidConf. User data can contain any
// value: it is an error if this one is not a compressed file of at least one byte
// and at most 16 MiB.
func DecodeSquidConf(value []byte) ([]byte, error) {
	text := base64.NewDecoder(base64.StdEncoding, bytes.NewReader(value))
	compressed, err := gzip.NewReader(text)
	if err != nil {
		return nil, fmt.Errorf("not a squid.conf in gzip and base64: %w", err)
	}
	conf, err := io.ReadAll(io.LimitReader(compressed, maxSquidConf+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("not a squid.conf in gzip and base64: %w", err)
	case len(conf) > maxSquidConf:
		return nil, fmt.Errorf("squid.conf has more than %d bytes", maxSquidConf)
	case len(conf) == 0:
		return nil, errors.New("squid.conf is empty")
	}
	return conf, nil
}
