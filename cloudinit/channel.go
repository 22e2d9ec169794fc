package cloudinit

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

const (
	// maxSquidConfValue is the largest value of UserDataSquidConf, in bytes: a
	// bound of our own, so that whoever plans a change learns of it, and not
	// the machine.
	maxSquidConfValue = 120_000

	// maxSquidConf is the largest squid.conf that either side unpacks.
	maxSquidConf = 16 << 20
)

// EncodeSquidConf returns a squid.conf as it travels in user data, under
// UserDataSquidConf: compressed, in base64. The same file gives the same value.
// It is an error if the file is empty or has more than 16 MiB, or if the value
// would have more than 120,000 bytes; the error says what to shorten.
func EncodeSquidConf(conf []byte) ([]byte, error) {
	switch {
	case len(conf) == 0:
		return nil, errors.New("squid.conf is empty")
	case len(conf) > maxSquidConf:
		return nil, fmt.Errorf("squid.conf has %d bytes, above the %d that a proxy unpacks: %s", len(conf), maxSquidConf, adviceTooLarge)
	}
	var value bytes.Buffer
	text := base64.NewEncoder(base64.StdEncoding, &value)
	// Without a name and a time in its header, which would differ each time.
	compressed, err := gzip.NewWriterLevel(text, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = compressed.Write(conf)
	if err := errors.Join(err, compressed.Close(), text.Close()); err != nil {
		return nil, fmt.Errorf("compressing squid.conf: %w", err)
	}
	if value.Len() > maxSquidConfValue {
		return nil, fmt.Errorf("squid.conf takes %d bytes of user data (gzip, base64), above the %d that are allowed: %s", value.Len(), maxSquidConfValue, adviceTooLarge)
	}
	return value.Bytes(), nil
}

const adviceTooLarge = "shorten the tenants' lists of domains (.example.com covers all names below it), or divide the tenants among several proxies"

// DecodeSquidConf is the reverse of EncodeSquidConf. Anything may stand in user
// data: what is not a compressed file, of at least one byte and at most 16 MiB, is
// an error.
func DecodeSquidConf(data []byte) ([]byte, error) {
	text := base64.NewDecoder(base64.StdEncoding, bytes.NewReader(data))
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
