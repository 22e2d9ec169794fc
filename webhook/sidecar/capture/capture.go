package capture

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a sidecar's memory.
const (
	// mostListeners is the number of listeners on captured addresses, of about 8 KiB
	// each. The number of names follows from it and from the number of ports.
	mostListeners = 512
	// mostConnections is the number of captured connections.
	mostConnections = 1024
)

// Capture serves the programs of one pod. Its methods may be called by many goroutines
// at a time.
type Capture struct {
	proxy Proxy
	log   *slog.Logger
	now   func() time.Time

	rules   atomic.Pointer[rules]
	forward *forwarder
	web     *web

	// Messages that programs can cause as often as they like.
	unaddressed, unforwarded, crowded seldom

	// tunnels is done when open tunnels have to end.
	tunnels context.Context
	end     context.CancelFunc
	servers servers

	lock  sync.Mutex // guards the following fields
	table *table
	ports []uint16
	taken map[uint16]bool // ports that belong to the pod's programs
	conns map[*connection]struct{}
	// closed reports that connections are accepted no longer.
	closed bool
}

// Stats are figures for metrics.
type Stats struct {
	// Names is the number of captured names that have an address.
	Names int
	// Connections is the number of open captured connections.
	Connections int
}

// New returns a Capture whose DNS server does not listen yet. Shutdown ends it.
func New(config Config, proxy Proxy, log *slog.Logger) *Capture {
	c := &Capture{
		proxy: proxy, log: log, now: time.Now, forward: newForwarder(),
		table: newTable(mostListeners, time.Now()), taken: make(map[uint16]bool), conns: make(map[*connection]struct{}),
	}
	c.tunnels, c.end = context.WithCancel(context.Background())
	c.web = newWeb(c)
	c.Reload(config)
	return c
}

// Reload puts a configuration in place of the former one. Names keep their addresses, as
// far as the table has places for them with the present number of ports, and open
// connections are not affected.
func (c *Capture) Reload(config Config) {
	c.rules.Store(newRules(config))
	c.lock.Lock()
	defer c.lock.Unlock()
	for _, port := range config.OwnPorts {
		c.taken[port] = true
	}
	c.ports = config.Ports
	c.table.most = mostListeners / max(1, len(config.Ports))
	c.shrink()
	for _, e := range c.table.byName {
		if err := c.listen(e); err != nil {
			c.log.Error("a captured name is not served on all ports", "name", e.name, "error", err)
		}
	}
}

// Stats returns the present figures.
func (c *Capture) Stats() Stats {
	c.lock.Lock()
	defer c.lock.Unlock()
	return Stats{Names: len(c.table.byName), Connections: len(c.conns)}
}

// knows reports whether a name has an address.
func (c *Capture) knows(name string) bool {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.table.byName[name] != nil
}

// address returns the address of a name for an answer. A new name gets one, and its
// listeners, before it returns.
func (c *Capture) address(name string) (netip.Addr, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	now := c.now()
	if e := c.table.find(name, now); e != nil {
		return e.address, nil
	}
	if c.closed {
		return netip.Addr{}, net.ErrClosed
	}
	c.shrink()
	added, freed, err := c.table.add(name, now)
	if err != nil {
		return netip.Addr{}, err
	}
	if freed != nil {
		freed.close()
	}
	if err := c.listen(added); err != nil {
		added.close()
		c.table.remove(added)
		return netip.Addr{}, err
	}
	return added.address, nil
}

// shrink frees the names beyond the bound, which became smaller with more ports. Without
// that, their listeners on all ports would take the memory of the sidecar. The lock must
// be held.
func (c *Capture) shrink() {
	for e := c.table.surplus(); e != nil; e = c.table.surplus() {
		e.close()
		c.table.remove(e)
	}
}

// nameOf returns the name of a captured address, or the empty string.
func (c *Capture) nameOf(address netip.Addr) string {
	c.lock.Lock()
	defer c.lock.Unlock()
	if e := c.table.byAddr[address]; e != nil {
		return e.name
	}
	return ""
}
