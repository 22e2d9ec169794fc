package controller

import (
	"context"
	"net/netip"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/event"

	"egress.scw/webhook/api/v1alpha1"
)

// factsOf returns the proxies' answers about a tenant. Without an answer yet, ok is
// false, and the tenant is reconciled again when there is one. contested is whether
// another tenant has the same port: no pods are admitted to it then, unless they are
// already.
func (p *ProxyProber) factsOf(tenant *v1alpha1.EgressTenant, contested bool) (facts proxyFacts, ok bool) {
	port := tenant.Spec.ProxyPort()
	answers, isComplete := p.answersAbout(tenant)
	if !isComplete {
		p.wakeUp()
		return proxyFacts{}, false
	}
	facts = p.judge(tenant, answers)
	facts.admitted = tenant.AdmittedPort() != 0
	onPort, isComplete := p.answersOn(port)
	if asked, served := serves(tenant, onPort); served && isComplete && !facts.admitted && !contested {
		facts.admitted = p.ledger.admit(port, asked, time.Now())
	}
	return facts, true
}

// report makes TenantReconciler reconcile the tenants about which something new is
// known, and with waiting also those whose pods are not admitted yet.
func (p *ProxyProber) report(ctx context.Context, tenants []v1alpha1.EgressTenant, waiting bool) {
	p.reporting.Lock()
	defer p.reporting.Unlock()
	reported := map[string]proxyFacts{}
	for i := range tenants {
		tenant := &tenants[i]
		known, isKnown := p.reported[tenant.Name]
		answers, isComplete := p.answersAbout(tenant)
		if !isComplete {
			if isKnown {
				reported[tenant.Name] = known
			}
			p.wakeUp()
			continue // until the port has been asked
		}
		facts := p.judge(tenant, answers)
		reported[tenant.Name] = facts
		if isKnown && known == facts && (tenant.AdmittedPort() != 0 || !waiting) {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case p.changes <- event.GenericEvent{Object: tenant.DeepCopy()}:
		}
	}
	p.reported = reported
}

// answersOn returns the last answers of all machines on a port. There are none until
// the port itself has been asked.
func (p *ProxyProber) answersOn(port int32) (answers []proxyAnswer, isComplete bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	machines := p.present()
	for _, address := range machines {
		proxy := netip.AddrPortFrom(address, uint16(port)) //nolint:gosec // isTenantPort
		if answer, ok := p.answers[proxy]; ok {
			answers = append(answers, proxyAnswer{proxy, answer})
		}
	}
	return answers, len(answers) == len(machines)
}

// answersAbout returns the last answers of all machines about a tenant: the state of the
// machine, and if that shows no fault, the answer of the port where it must be asked.
// They are not complete until all have been asked.
func (p *ProxyProber) answersAbout(tenant *v1alpha1.EgressTenant) (answers []proxyAnswer, isComplete bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	port, wanted := tenant.Spec.ProxyPort(), revisionOf(tenant)
	machines := p.present()
	for _, address := range machines {
		state, known := p.machines[address]
		if !known {
			continue
		}
		answer := proxyAnswer{statusPortOf(address), state.about(port)}
		if isFault := answer.err != "" || answer.revision != wanted; !state.fallsBack() && (isFault || !p.asksPort(tenant, state)) {
			answers = append(answers, answer)
			continue
		}
		proxy := netip.AddrPortFrom(address, uint16(port)) //nolint:gosec // isTenantPort
		if answer, asked := p.answers[proxy]; asked {
			answers = append(answers, proxyAnswer{proxy, answer})
		}
	}
	return answers, len(answers) == len(machines)
}

// judge compares the answers of all machines about a tenant with the tenant.
func (p *ProxyProber) judge(tenant *v1alpha1.EgressTenant, answers []proxyAnswer) proxyFacts {
	facts := judge(tenant, answers, p.blockedBy(tenant.Spec.ProxyPort()))
	p.mu.Lock()
	defer p.mu.Unlock()
	facts.spare = p.spareAnswers()
	return facts
}

func (p *ProxyProber) blockedBy(port int32) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.uses.blockedBy(port)
}
