package capture

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// errNoPort is returned when a captured name could be reached on no port.
var errNoPort = errors.New("the pod's own programs listen on all ports of the tenant, so that a captured name could be reached on none")

// errCrowded is returned when names beyond the bound have open connections.
var errCrowded = errors.New("names with open connections have all listeners that there may be")

// listener is a listener on a port of a captured address.
type listener struct {
	*net.TCPListener
}

// listen opens the listeners of an entry that are missing, and closes those on ports
// that the tenant no longer has. The lock must be held.
func (c *Capture) listen(e *entry) error {
	for port, l := range e.listeners {
		if !slices.Contains(c.ports, port) {
			_ = l.Close()
			delete(e.listeners, port)
		}
	}
	room := c.room()
	for _, port := range c.ports {
		if c.taken[port] || e.listeners[port] != nil {
			continue
		}
		if room--; room < 0 {
			return errCrowded
		}
		l, err := listenTCP(netip.AddrPortFrom(e.address, port))
		switch {
		case errors.Is(err, syscall.EADDRINUSE):
			c.leave(port)
		case err != nil:
			return err
		default:
			e.listeners[port] = &listener{l}
			go c.accept(e, port, l)
		}
	}
	if len(e.listeners) == 0 {
		return errNoPort
	}
	return nil
}

// room returns the number of listeners that there may be in addition.
func (c *Capture) room() int {
	room := mostListeners
	for _, e := range c.table.byName {
		room -= len(e.listeners)
	}
	return room
}

// leave leaves a port to the pod's programs for good: the sidecar would otherwise take
// it while such a program is restarted.
func (c *Capture) leave(port uint16) {
	c.taken[port] = true
	c.log.Warn("a program of the pod listens on a port of the tenant on all addresses: captured names cannot be reached on this port",
		"port", port, "cure", "let the program listen on another port, or on the address of the pod alone")
}

// listenTCP listens on a captured address. It has no Multipath TCP, which
// net.Listen would use: that takes more memory, and is of no use on the loopback
// interface.
func listenTCP(address netip.AddrPort) (*net.TCPListener, error) {
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(address))
	switch {
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%w: set the sysctl net.ipv4.ip_unprivileged_port_start=0 in the pod's securityContext", err)
	case err != nil:
		return nil, err //nolint:wrapcheck // it names the operation and the address
	}
	return l, nil
}

// close closes the listeners of an entry.
func (e *entry) close() {
	for port, l := range e.listeners {
		_ = l.Close()
		delete(e.listeners, port)
	}
}

// accept serves the connections to a port of a captured address until the listener is
// closed.
func (c *Capture) accept(e *entry, port uint16, l *net.TCPListener) {
	for {
		accepted, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Too many open files, or no memory: both can pass.
			c.crowded.warn(c.log, c.now(), "a captured connection is not accepted", "name", e.name, "port", port, "error", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		if conn := c.enter(e, port, accepted); conn != nil {
			go c.serve(conn)
		}
	}
}
