package scwfake

import "time"

// step is a scheduled transition.
type step struct {
	// after is the time from the beginning of the transition until the step is
	// due.
	after time.Duration
	due   time.Time
	do    func()
}

// hold is a step without a change: the next read shows the same state as the answer
// to the request.
func hold() step { return step{do: func() {}} }

// schedule replaces the scheduled steps of the resource.
//
// Without latencies, each read of the resource performs one step, and shows the
// resulting state. Most transitions have two steps, so that a client sees the
// transient state at least once. With latencies, steps are performed when they are
// due, independently of reads.
func (a *API) schedule(r resource, steps ...step) {
	b := r.core()
	b.steps = steps
	if a.options.LatencyScale == 0 {
		return
	}
	now := time.Now()
	for i := range b.steps {
		b.steps[i].due = now.Add(b.steps[i].after)
		time.AfterFunc(b.steps[i].after, a.wake)
	}
}

// observe performs the next step of each of the resources, if transitions depend on
// reads.
//
// A request that is refused because of a transient state also counts as a read.
// Otherwise a client that only retries would always be refused.
func observe[T resource](a *API, items ...T) {
	if a.options.LatencyScale != 0 {
		return
	}
	for _, item := range items {
		b := item.core()
		if len(b.steps) == 0 {
			continue
		}
		next := b.steps[0]
		b.steps = b.steps[1:]
		next.do()
	}
}

// wake performs the steps that are due while there is no request that would.
func (a *API) wake() {
	a.mu.Lock()
	a.settle()
	a.mu.Unlock()
	a.deliver()
}

// settle performs all steps that are due, in the order of their times, if transitions
// depend on time.
func (a *API) settle() {
	if a.options.LatencyScale == 0 {
		return
	}
	now := time.Now()
	for {
		b := a.nextDue(now)
		if b == nil {
			return
		}
		next := b.steps[0]
		b.steps = b.steps[1:]
		next.do()
	}
}

// nextDue returns the resource with the earliest step that is due.
func (a *API) nextDue(now time.Time) *base {
	var first *base
	for _, b := range a.all() {
		if len(b.steps) == 0 || b.steps[0].due.After(now) {
			continue
		}
		if first == nil || b.steps[0].due.Before(first.steps[0].due) {
			first = b
		}
	}
	return first
}

// all returns the resources that have transitions.
func (a *API) all() []*base {
	var all []*base
	all = appendBases(all, a.gateways.items)
	all = appendBases(all, a.gatewayNetworks.items)
	all = appendBases(all, a.servers.items)
	all = appendBases(all, a.securityGroups.items)
	all = appendBases(all, a.addresses.items)
	all = appendBases(all, a.nics.items)
	all = appendBases(all, a.volumes.items)
	all = appendBases(all, a.clusters.items)
	all = appendBases(all, a.pools.items)
	return appendBases(all, a.namespaces.items)
}

func appendBases[T resource](all []*base, items []T) []*base {
	for _, item := range items {
		all = append(all, item.core())
	}
	return all
}
