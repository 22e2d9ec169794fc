package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

const (
	// firstTimeout bounds the time to the first bytes of a program on the port of plain
	// HTTP. Programs keep such connections in reserve.
	firstTimeout = 90 * time.Second
	// firstSize is the number of bytes that are looked at: the longest method of HTTP
	// that is registered has 17 characters (UPDATEREDIRECTREF).
	firstSize = 24
)

// firstBytes returns the first bytes of a connection, at most firstSize, and leaves them
// there. It waits until they decide whether the connection begins as HTTP/1.
func firstBytes(conn *net.TCPConn) ([]byte, error) {
	_ = conn.SetReadDeadline(time.Now().Add(firstTimeout))
	defer func() { _ = conn.SetReadDeadline(time.Time{}) }()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("read the first bytes: %w", err)
	}
	buffer := make([]byte, firstSize)
	var n int
	var failure error
	err = raw.Read(func(fd uintptr) bool {
		for {
			n, _, failure = syscall.Recvfrom(int(fd), buffer, syscall.MSG_PEEK)
			if !errors.Is(failure, syscall.EINTR) {
				break
			}
		}
		if errors.Is(failure, syscall.EAGAIN) {
			return false
		}
		return failure != nil || n == 0 || !isMethod(buffer[:n])
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the first bytes: %w", err)
	case failure != nil:
		return nil, fmt.Errorf("read the first bytes: %w", failure)
	case n <= 0:
		return nil, io.EOF
	}
	return buffer[:n], nil
}

// isMethod reports whether the bytes can be the beginning of a method of HTTP, so that
// more of them are needed.
func isMethod(first []byte) bool {
	return len(first) < firstSize && !bytes.ContainsFunc(first, func(r rune) bool { return r != '-' && r != '_' && (r < 'A' || r > 'Z') })
}

// beginsHTTP1 reports whether the first bytes are those of a request of HTTP/1 for a path
// or a URL of plain HTTP. HTTP/2 begins with "PRI * HTTP/2.0" (RFC 9113, section 3.4).
func beginsHTTP1(first []byte) bool {
	method, rest, found := bytes.Cut(first, []byte(" "))
	if !found || len(method) == 0 || !isMethod(method) || string(method) == "PRI" || string(method) == "CONNECT" {
		return false
	}
	return len(rest) == 0 || rest[0] == '/' || rest[0] == '*' || rest[0] == 'h' || rest[0] == 'H'
}
