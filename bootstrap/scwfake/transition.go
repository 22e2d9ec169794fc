package scwfake

import "time"

// step is a transition to come.
type step struct {
	// after is how long after the transition began the step is due.
	after time.Duration
	due   time.Time
	do    func()
}

// hold is a step that changes nothing: the state that the request answered is
// also what the next read shows.
func hold() step { return step{do: func() {}} }

// schedule replaces what was to happen to the resource.
//
// Without latencies, each read of the resource takes one step and shows the
// outcome. Most transitions have two steps, so that a client sees the state on
// the way at least once. With latencies, steps are taken when they are due,
// whether or not anybody reads.
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

// observe takes the next step of each of the resources if it is reads that
// drive the transitions.
//
// A request that is refused because a resource is on its way also counts as a
// read of it; else a client that only retries would be refused for ever.
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

// wake takes the steps that are due while no request is there to do it.
func (a *API) wake() {
	a.mu.Lock()
	a.settle()
	a.mu.Unlock()
	a.deliver()
}

// settle takes all steps that are due, in the order of their times, if it is
// time that drives the transitions.
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

// nextDue is the resource whose next step was due first.
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

// all are the resources that have transitions.
func (a *API) all() []*base {
	var all []*base
	all = appendBases(all, a.gateways.items)
	all = appendBases(all, a.gatewayNetworks.items)
	all = appendBases(all, a.servers.items)
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
