package scwfake

import (
	"slices"
	"strings"
)

// SetShortage makes types of servers sold out, in all zones, and all others available.
// As reports about the API describe it, a server of such a type can be created, and
// falls back to "stopped" after it was powered on. Nodes of such a type cannot be
// created: their pool stays in "warning" until the type is available again.
func (a *API) SetShortage(types ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.short = slices.Clone(types)
	for _, p := range a.pools.items {
		if p.status == poolWarning && !a.isShort(p.kind) {
			a.recoverPool(p)
		}
	}
}

// isShort reports whether a type is sold out. The name is that of servers or of pools.
func (a *API) isShort(kind string) bool {
	return slices.Contains(a.short, strings.ToUpper(strings.ReplaceAll(kind, "_", "-")))
}

// fallBack is the end of a power-on without a free machine. The detail is
// reconstructed: the SDK shows it, and no recording contains it.
func (a *API) fallBack(s *server) {
	s.detail = "not enough resources"
	a.set(&s.base, serverStopped)
}

// recoverPool creates the missing nodes of a pool.
func (a *API) recoverPool(p *pool) {
	for _, n := range a.nodesOf(p) {
		if n.status == nodeCreationError {
			n.problem = ""
			a.set(&n.base, nodeCreating)
		}
	}
	p.problem = ""
	a.startPool(p)
}
