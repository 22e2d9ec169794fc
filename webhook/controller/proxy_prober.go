package controller

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

const (
	// probeInterval is the time from the start of one round, in which ports are asked, to
	// that of the next.
	probeInterval = 10 * time.Second
	// probePause is the minimum time between two rounds, when new tenants ask for
	// one early.
	probePause = 500 * time.Millisecond
)

// ProxyProber asks the proxies which tenants they serve, and releases ports that no pod
// is admitted to. It runs on the leader. TenantReconciler writes what it finds into the
// tenants' status.
//
// Every statusInterval it asks each machine by one request for all tenants. Only the
// tenant's own port shows that the machine's firewall has opened it, and that a sidecar
// would be served: in rounds of probeInterval, it asks the ports of tenants whose pods
// are not admitted to them yet, all of them with certificates, and all of machines that
// do not tell their state.
type ProxyProber struct {
	cache     client.Reader
	addresses []netip.Addr
	spare     netip.Addr // invalid if there is none
	askState  func(ctx context.Context, machine netip.AddrPort) machineState
	ask       func(ctx context.Context, proxy netip.AddrPort, tenant string) portAnswer
	give      func(context.Context, netip.AddrPort) // releases a port
	// certificates is whether ask proves more than the state of the machine.
	certificates bool

	wake    chan struct{}
	changes chan event.GenericEvent
	ledger  *portLedger

	mu       sync.Mutex
	machines map[netip.Addr]machineState
	answers  map[netip.AddrPort]portAnswer
	uses     portUses

	reporting sync.Mutex
	// reported is what was last reported about a tenant, to report changes only.
	reported map[string]proxyFacts
}

// NewProxyProber returns a prober of the proxies at the addresses, which reads
// EgressTenants and NetworkPolicies from the cache.
func NewProxyProber(reader client.Reader, addresses []netip.Addr) *ProxyProber {
	return &ProxyProber{
		cache: reader, addresses: addresses, askState: newStatusAsker().ask, ask: askPort, give: releasePort,
		wake: make(chan struct{}, 1), changes: make(chan event.GenericEvent),
		ledger: newPortLedger(), machines: map[netip.Addr]machineState{}, answers: map[netip.AddrPort]portAnswer{}, reported: map[string]proxyFacts{},
	}
}

// UseCertificates makes the prober ask with the certificates of tenants, on the port of
// sidecars: it is for proxies that know tenants by certificates alone.
func (p *ProxyProber) UseCertificates(sidecars *SidecarReconciler, machines []settings.Machine) {
	identityOf := func(tenant string) *identity { return sidecars.stateOf(tenant).identity }
	p.ask = certificateAsker{identityOf: identityOf, machines: machines}.ask
	p.certificates = true
}

// SetupWithManager registers the prober. A NetworkPolicy that exists between two
// rounds only is a user of its port, too.
func (p *ProxyProber) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	informer, err := mgr.GetCache().GetInformer(ctx, &networkingv1.NetworkPolicy{})
	if err == nil {
		_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    p.usePolicy,
			UpdateFunc: func(before, after any) { p.usePolicy(before); p.usePolicy(after) },
			DeleteFunc: p.usePolicy,
		})
	}
	if err != nil {
		return fmt.Errorf("watching NetworkPolicies for the proxy's ports: %w", err)
	}
	return mgr.Add(p)
}

func (p *ProxyProber) usePolicy(object any) {
	if gone, isGone := object.(cache.DeletedFinalStateUnknown); isGone {
		object = gone.Obj
	}
	if policy, isPolicy := object.(*networkingv1.NetworkPolicy); isPolicy {
		for _, port := range portsOf(policy, p.addresses) {
			p.ledger.use(port, time.Now())
		}
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*ProxyProber) NeedLeaderElection() bool { return true }

// Start runs rounds until the context ends.
func (p *ProxyProber) Start(ctx context.Context) error {
	p.ledger.begin(time.Now())
	p.askFirst(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { p.watchMachines(ctx) })
	if p.spare.IsValid() {
		watching.Go(func() { p.watchSpare(ctx) })
	}
	for {
		next := time.After(probeInterval)
		pause := time.After(probePause)
		if err := p.round(ctx); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "the proxies are not probed in this round")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-pause:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-next:
		case <-p.wake:
		}
	}
}

// askFirst asks all machines, and the spare one, before a tenant's pods are admitted to a
// port that one of them serves to another tenant.
func (p *ProxyProber) askFirst(ctx context.Context) {
	var asking sync.WaitGroup
	asking.Go(func() { p.askSpare(ctx) })
	p.askMachines(ctx)
	asking.Wait()
}

// watchMachines asks the machines for their state, and reports changes, until the
// context ends.
func (p *ProxyProber) watchMachines(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(p.interval()):
		}
		p.askMachines(ctx)
		tenants, err := p.proxied(ctx)
		if err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "the state of the proxies is not reported")
			continue
		}
		p.report(ctx, tenants, false)
	}
}

// askMachines asks all machines at once for their state.
func (p *ProxyProber) askMachines(ctx context.Context) {
	states := make([]machineState, len(p.addresses))
	var asking sync.WaitGroup
	for i, address := range p.addresses {
		asking.Go(func() { states[i] = p.askState(ctx, statusPortOf(address)) })
	}
	asking.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, address := range p.addresses {
		p.machines[address] = states[i].after(p.machines[address])
	}
}

// round asks ports, releases those that may be released, and reports changes.
func (p *ProxyProber) round(ctx context.Context) error {
	tenants, err := p.observe(ctx)
	if err != nil {
		return err
	}
	p.askAll(ctx, tenants)
	// Policies may have changed while the proxies answered.
	if tenants, err = p.observe(ctx); err != nil {
		return err
	}
	for i := range tenants {
		p.release(ctx, &tenants[i], tenants)
	}
	p.report(ctx, tenants, true)
	return nil
}

// proxied reads the tenants that use the proxy.
func (p *ProxyProber) proxied(ctx context.Context) ([]v1alpha1.EgressTenant, error) {
	var tenants v1alpha1.EgressTenantList
	if err := p.cache.List(ctx, &tenants, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing EgressTenants: %w", err)
	}
	return onTenantPorts(tenants.Items), nil
}

func onTenantPorts(tenants []v1alpha1.EgressTenant) []v1alpha1.EgressTenant {
	return slices.DeleteFunc(tenants, func(t v1alpha1.EgressTenant) bool { return !isTenantPort(t.Spec.ProxyPort()) })
}

// observe reads the tenants that use the proxy, and records the users of ports.
func (p *ProxyProber) observe(ctx context.Context) ([]v1alpha1.EgressTenant, error) {
	var tenants v1alpha1.EgressTenantList
	if err := p.cache.List(ctx, &tenants, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing EgressTenants: %w", err)
	}
	var policies networkingv1.NetworkPolicyList
	if err := p.cache.List(ctx, &policies, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing NetworkPolicies: %w", err)
	}
	uses, now := usesOf(tenants.Items, policies.Items, p.addresses), time.Now()
	for port := range uses {
		p.ledger.use(port, now)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.uses = uses
	return onTenantPorts(tenants.Items), nil
}

// asksPort returns whether the port of a tenant must be asked, beside the state of the
// machine.
func (p *ProxyProber) asksPort(tenant *v1alpha1.EgressTenant, state machineState) bool {
	return p.certificates || tenant.AdmittedPort() == 0 || state.fallsBack()
}

// askAll asks the ports that must be asked, all at once: at most 127 connections to each
// proxy.
func (p *ProxyProber) askAll(ctx context.Context, tenants []v1alpha1.EgressTenant) {
	p.mu.Lock()
	states, machines := maps.Clone(p.machines), p.present()
	p.mu.Unlock()
	answers := map[netip.AddrPort]portAnswer{}
	var lock sync.Mutex
	var asking sync.WaitGroup
	seen := map[netip.AddrPort]bool{}
	for i := range tenants {
		port := tenants[i].Spec.ProxyPort()
		for _, address := range machines {
			proxy := netip.AddrPortFrom(address, uint16(port)) //nolint:gosec // isTenantPort
			if seen[proxy] || !p.asksPort(&tenants[i], states[address]) {
				continue
			}
			seen[proxy] = true
			asking.Go(func() {
				answer := p.ask(ctx, proxy, tenants[i].Name)
				lock.Lock()
				defer lock.Unlock()
				answers[proxy] = answer
			})
		}
	}
	asking.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers = answers
}

// release releases the port of a tenant whose pods are not admitted to it, where a
// proxy does not answer on the port. It does not if several tenants have the port.
func (p *ProxyProber) release(ctx context.Context, tenant *v1alpha1.EgressTenant, tenants []v1alpha1.EgressTenant) {
	port := tenant.Spec.ProxyPort()
	if tenant.AdmittedPort() != 0 || sharesPort(tenant, tenants) {
		return
	}
	answers, _ := p.answersOn(port)
	for _, answer := range answers {
		if answer.err != "" && p.ledger.release(port, time.Now()) {
			p.give(ctx, answer.proxy)
		}
	}
}

func sharesPort(tenant *v1alpha1.EgressTenant, tenants []v1alpha1.EgressTenant) bool {
	return slices.ContainsFunc(tenants, func(other v1alpha1.EgressTenant) bool {
		return other.Name != tenant.Name && other.Spec.ProxyPort() == tenant.Spec.ProxyPort()
	})
}

// wakeUp begins the next round early.
func (p *ProxyProber) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default: // a round is due already
	}
}
