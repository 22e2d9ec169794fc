package controller

import (
	"context"
	"net/netip"
	"slices"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
)

// spareInterval is the minimum time from the start of one question to the spare machine to
// that of the next. Connections fail from the moment in which its egress addresses come or
// go until the leader knows that.
const spareInterval = time.Second

// UseSpare makes the prober ask the spare machine as well, if the address is valid. The
// spare machine rarely exists: that it does not answer is no fault, and in no status and
// no metric. Its answers count like those of the other machines. Of an earlier version it
// cannot be, so it is asked for its state alone, but for ports to which pods are not
// admitted yet.
func (p *ProxyProber) UseSpare(address netip.Addr) { p.spare = address }

// present returns the addresses of the machines that should answer, and of the spare one
// if it does. The caller holds the lock.
func (p *ProxyProber) present() []netip.Addr {
	if !p.spareAnswers() {
		return p.addresses
	}
	return append(slices.Clone(p.addresses), p.spare)
}

// spareAnswers reports whether the spare machine answered last. The caller holds the lock.
func (p *ProxyProber) spareAnswers() bool {
	state, known := p.machines[p.spare]
	return known && p.spare.IsValid() && state.err == ""
}

// interval returns the time between two questions to the machines.
func (p *ProxyProber) interval() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spareAnswers() {
		return spareInterval // its addresses are about to go back
	}
	return statusInterval
}

// watchSpare asks the spare machine, and reports changes, until the context ends.
func (p *ProxyProber) watchSpare(ctx context.Context) {
	for {
		next := time.After(spareInterval)
		if p.askSpare(ctx) {
			tenants, err := p.proxied(ctx)
			if err != nil {
				ctrl.LoggerFrom(ctx).Error(err, "the state of the spare machine is not reported")
			}
			p.report(ctx, tenants, false)
		}
		select {
		case <-ctx.Done():
			return
		case <-next:
		}
	}
}

// askSpare asks the spare machine for its state, and returns whether that has changed.
func (p *ProxyProber) askSpare(ctx context.Context) (changed bool) {
	if !p.spare.IsValid() {
		return false
	}
	state := p.askState(ctx, statusPortOf(p.spare))
	p.mu.Lock()
	defer p.mu.Unlock()
	answered := p.spareAnswers()
	changed = answered != (state.err == "") || !slices.Equal(p.machines[p.spare].served, state.served)
	p.machines[p.spare] = state.after(p.machines[p.spare])
	return changed
}
