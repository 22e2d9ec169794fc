package tunnel

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// ReadFrom copies everything that a client sends into the tunnel (io.ReaderFrom). It
// takes a buffer when there is data, if the client is a TCP connection.
func (s *Stream) ReadFrom(client io.Reader) (int64, error) {
	next := func() (int, *[maxFrame]byte, error) {
		buffer := takeBuffer()
		n, err := client.Read(buffer[:])
		return n, buffer, err
	}
	if raw, ok := rawConn(client); ok {
		next = func() (int, *[maxFrame]byte, error) { return readWhenReady(raw) }
	}
	var total int64
	for {
		n, buffer, err := next()
		if n > 0 {
			_, writeErr := s.Write(buffer[:n])
			total += int64(n)
			err = errors.Join(err, writeErr)
		}
		if buffer != nil {
			giveBuffer(buffer)
		}
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		}
	}
}

// rawConn returns the descriptor of a TCP connection. io.Copy passes one that hides
// its type.
func rawConn(connection any) (syscall.RawConn, bool) {
	tcp, ok := connection.(interface {
		net.Conn
		syscall.Conn
	})
	if !ok {
		return nil, false
	}
	raw, err := tcp.SyscallConn()
	return raw, err == nil
}

// readWhenReady waits without a buffer until there is data.
func readWhenReady(raw syscall.RawConn) (n int, buffer *[maxFrame]byte, err error) {
	waitErr := raw.Read(func(fd uintptr) bool {
		if buffer == nil {
			buffer = takeBuffer()
		}
		for {
			n, err = syscall.Read(int(fd), buffer[:])
			if !errors.Is(err, syscall.EINTR) {
				break
			}
		}
		if errors.Is(err, syscall.EAGAIN) {
			giveBuffer(buffer)
			n, buffer, err = 0, nil, nil
			return false
		}
		return true
	})
	switch {
	case waitErr != nil:
		return 0, buffer, waitErr
	case err != nil:
		return 0, buffer, err
	case n == 0:
		return 0, buffer, io.EOF
	}
	return n, buffer, nil
}

// sink is the client's connection, to which the goroutine that reads the machine's
// frames writes as much as it takes at once.
type sink struct{ raw syscall.RawConn }

// try writes without waiting. Errors are left to WriteTo, which meets them again.
func (k *sink) try(data []byte) int {
	written := 0
	_ = k.raw.Write(func(fd uintptr) bool {
		n, err := syscall.Write(int(fd), data)
		if err == nil {
			written = n
		}
		return true
	})
	return written
}

// WriteTo copies everything that the tunnel receives to a client (io.WriterTo). To a
// TCP connection, most data is written by the goroutine that reads the machine's
// frames, and WriteTo writes the rest.
func (s *Stream) WriteTo(client io.Writer) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if raw, ok := rawConn(client); ok {
		s.sink = &sink{raw}
		defer func() { s.sink = nil }()
	}
	s.sent = 0
	for {
		part, ok := s.received.take()
		if !ok {
			if s.readErr != nil {
				break
			}
			s.readable.Wait()
			continue
		}
		s.draining = true
		s.mu.Unlock()
		n, err := client.Write(part.data)
		giveBuffer(part.buffer)
		s.mu.Lock()
		s.draining = false
		s.sent += int64(n)
		s.consume(len(part.data))
		if err != nil {
			return s.sent, err
		}
	}
	if errors.Is(s.readErr, io.EOF) {
		return s.sent, nil
	}
	return s.sent, s.readErr
}
