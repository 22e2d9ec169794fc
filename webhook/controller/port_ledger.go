package controller

import (
	"sync"
	"time"
)

const (
	// releaseAfter is the time for which a port has had no user before it is
	// released. It is longer than the cache of a replica lags behind the API server
	// while its watch works, and than a network plug-in takes to enforce a changed
	// NetworkPolicy. Both take less than 6 s for 1,000 namespaces at once.
	releaseAfter = 30 * time.Second

	// answerValid is the time for which an answer of the proxy proves which tenant
	// a port serves. It is shorter than releaseAfter.
	answerValid = 15 * time.Second
)

// portLedger orders the two decisions about a port that exclude each other:
// NetworkPolicies may admit a tenant's pods to it, and it may be released, so that
// the proxy gives it to another tenant. Both are decided in one process, the
// leader's. The zero value is not usable.
//
// The argument is in docs/adr/0021-ports-change-hands.md.
type portLedger struct {
	mu sync.Mutex
	// started is the time since which this process leads.
	started time.Time
	// used and released are the times of the last use and of the last release of a
	// port.
	used, released map[int32]time.Time
}

func newPortLedger() *portLedger {
	return &portLedger{used: map[int32]time.Time{}, released: map[int32]time.Time{}}
}

// begin forgets nothing, but takes every port for used until now: this process leads
// from now on, and does not know what another leader has admitted pods to.
func (l *portLedger) begin(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.started = now
}

// use records that a tenant's status or a NetworkPolicy admits pods to the port.
func (l *portLedger) use(port int32, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used[port] = now
}

// admit returns whether a tenant's pods may be admitted to the port, because the
// proxy was asked at this time and answered that it serves the tenant there. The
// answer must be younger than the last release of the port: the proxy may have given
// the port to another tenant after it. If the result is true, the port is in use.
func (l *portLedger) admit(port int32, asked, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !asked.After(l.released[port]) || now.Sub(asked) > answerValid {
		return false
	}
	l.used[port] = now
	return true
}

// release returns whether the port may be released: it has had no user for
// releaseAfter. If the result is true, earlier answers of the proxy about the port
// are no longer valid.
func (l *portLedger) release(port int32, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.started
	if used := l.used[port]; used.After(last) {
		last = used
	}
	if now.Sub(last) < releaseAfter {
		return false
	}
	l.released[port] = now
	return true
}
