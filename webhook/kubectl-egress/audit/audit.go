// Package audit reads lines of the audit log in bounded memory.
package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"

	"egress.scw/cloudinit/squid"
)

// MaxLine bounds a line, in bytes: Squid's own bound is 8,192, and a syslog server adds
// a header.
const MaxLine = 64 << 10

// Record is a line of the audit log.
type Record struct {
	squid.AuditRecord
	// Line is the JSON object of the line, valid until the next record is read.
	Line []byte
}

// Start returns the time at which the line was written, the zero value if it cannot be
// read.
func (r *Record) Start() time.Time {
	written, err := time.Parse(time.RFC3339, r.Time)
	if err != nil {
		return time.Time{}
	}
	return written
}

// Reader reads lines.
type Reader struct {
	input *bufio.Reader
	// Lines is the number of lines so far, but empty ones.
	Lines int
	// Malformed is the number of lines that are no audit line: without a JSON object
	// that has a time and a tenant, or longer than MaxLine.
	Malformed int
	err       error
}

// NewReader returns a Reader of an input: the machine's audit.log, or an export of the
// log server in which the JSON object is behind a header (RFC 5424). Both may be
// compressed by gzip.
func NewReader(input io.Reader) *Reader {
	return &Reader{input: bufio.NewReaderSize(input, MaxLine)}
}

// Err returns the error that ended the reading, nil at the end of the input.
func (r *Reader) Err() error { return r.err }

// Records returns the audit lines of the input. A record is valid until the next one.
func (r *Reader) Records() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		if r.err = endOf(r.decompress()); r.err != nil {
			return
		}
		var record Record
		for {
			line, err := r.line()
			if len(line) > 0 {
				r.Lines++
				if !parse(line, &record) {
					r.Malformed++
				} else if !yield(&record) {
					return
				}
			}
			if err != nil {
				r.err = endOf(err)
				return
			}
		}
	}
}

// endOf returns the error of a Reader whose input ended with this one.
func endOf(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the compressed file is cut off: %w", err)
	}
	return err
}

// tooLong takes the place of a line that is longer than MaxLine.
var tooLong = []byte("too long")

// line returns the next line without white space at its ends.
func (r *Reader) line() ([]byte, error) {
	line, err := r.input.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return bytes.TrimSpace(line), err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.input.ReadSlice('\n')
	}
	return tooLong, err
}

// parse reads the JSON object of a line. A header before it has no brace. Squid encodes what
// clients control, so that a line with other than printable characters, which could control
// a terminal or break out of a comment, is no audit line.
func parse(line []byte, record *Record) bool {
	start := bytes.IndexByte(line, '{')
	if start < 0 {
		return false
	}
	*record = Record{Line: line[start:]}
	if json.Unmarshal(record.Line, &record.AuditRecord) != nil {
		return false
	}
	if bytes.ContainsFunc(record.Line, needsLook) &&
		(bytes.ContainsFunc(record.Line, unprintable) || strings.ContainsFunc(fmt.Sprint(record.AuditRecord), unprintable)) {
		return false
	}
	return strings.HasSuffix(record.Time, "Z") && record.Tenant != ""
}

// needsLook reports whether a character may be unprintable, or begin the escape sequence of
// one. Lines that Squid writes have none, which saves the second look at them.
func needsLook(r rune) bool { return r < ' ' || r > '~' || r == '\\' }

func unprintable(r rune) bool { return !unicode.IsPrint(r) && r != '\t' }
