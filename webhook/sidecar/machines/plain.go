package machines

import (
	"context"
	"fmt"
	"net"
)

// DialError is the error of a machine that could not be connected to, so that a request
// has not been sent.
type DialError struct{ Err error }

// Error implements error.
func (e *DialError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *DialError) Unwrap() error { return e.Err }

// Addresses returns the addresses of the machines in the order in which a request tries
// them.
func (s *Set) Addresses() []string {
	var addresses []string
	for _, m := range s.order() {
		addresses = append(addresses, m.address)
	}
	return addresses
}

// DialHTTP connects to a machine of the set for HTTP/1.1: in HTTP/2, a request to a proxy
// cannot have the URL of plain HTTP in full. The error is a *DialError, or ErrDrained if
// the set does not have the machine.
func (s *Set) DialHTTP(ctx context.Context, address string) (net.Conn, error) {
	m := s.find(address)
	if m == nil {
		return nil, ErrDrained
	}
	connection, err := m.dial(ctx, m.tlsHTTP1, s.patience(m))
	if err != nil {
		return nil, &DialError{err}
	}
	return connection, nil
}

// Alive asks a machine for a sign of life, on its connection for tunnels. The bound is
// the context's.
func (s *Set) Alive(ctx context.Context, address string) error {
	m := s.find(address)
	if m == nil {
		return ErrDrained
	}
	patience := s.patience(m)
	conns, err := m.usable(ctx, patience)
	if err != nil {
		return err
	}
	if m.isStalled(ctx, conns[0], patience) {
		return nil // a new connection has answered
	}
	return conns[0].Ping(ctx)
}

// PassOver sends further requests to other machines until this one answers again. Open
// tunnels stay. It returns the problem with the machine's address.
func (s *Set) PassOver(address string, problem error) error {
	if m := s.find(address); m != nil {
		s.passOver(m, problem)
	}
	return fmt.Errorf("%s: %w", address, problem)
}

func (s *Set) find(address string) *machine {
	for _, m := range s.machines {
		if m.address == address {
			return m
		}
	}
	return nil
}
