package audit

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"strings"
)

// gzipMagic begins every file of gzip (RFC 1952), and no audit line.
const gzipMagic = "\x1f\x8b"

// IsCompressed reports whether an input that begins with these bytes, two or more, is
// compressed. The name of an input does not show that: it may be the standard input.
func IsCompressed(head []byte) bool { return strings.HasPrefix(string(head), gzipMagic) }

// decompress makes the Reader read the content of a compressed input, as rotated files of
// the proxy are.
func (r *Reader) decompress() error {
	head, _ := r.input.Peek(len(gzipMagic)) // the error is that of the first line
	if !IsCompressed(head) {
		return nil
	}
	content, err := gzip.NewReader(r.input)
	if err != nil {
		return fmt.Errorf("decompressing: %w", err)
	}
	r.input = bufio.NewReaderSize(content, MaxLine)
	return nil
}
