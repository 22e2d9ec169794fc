package controller

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/proxystatus"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/netpol"
)

// fakeProxy answers as a proxy does. A port that is not in the map of tenants refuses
// connections, and without the map no port answers.
type fakeProxy struct {
	mu       sync.Mutex
	tenants  map[uint16]string
	revision map[string]string // by tenant; "other" if it is not here
	released []uint16
	// closed are ports that the firewall closes, while Squid serves tenants there.
	closed map[uint16]bool
	// isOld is whether the proxy does not tell its state, drained whether it refuses to.
	isOld, drained bool
	// asked and states are the numbers of questions on ports, and for the state.
	asked, states int
}

func (f *fakeProxy) askState(context.Context, netip.AddrPort) machineState {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.states++
	state := machineState{asked: time.Now()}
	if f.tenants == nil || f.isOld {
		state.err = "connection refused"
		return state
	}
	if f.drained {
		state.err, state.withheld = "connection refused", true
		return state
	}
	state.answered = state.asked
	for port, tenant := range f.tenants {
		state.served = append(state.served, proxystatus.Tenant{Port: port, Name: tenant, Revision: cmp.Or(f.revision[tenant], "other")})
	}
	return state
}

// change changes the proxy.
func (f *fakeProxy) change(to func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	to()
}

// takeAsked returns the numbers of questions on ports, and for the state, since the last
// call.
func (f *fakeProxy) takeAsked() (ports, states int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ports, states = f.asked, f.states
	f.asked, f.states = 0, 0
	return ports, states
}

func (f *fakeProxy) serve(tenants map[uint16]string, same ...*v1alpha1.EgressTenant) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tenants, f.revision = tenants, map[string]string{}
	for _, tenant := range same {
		f.revision[tenant.Name] = v1alpha1.Tenant{Name: tenant.Name, EgressTenantSpec: tenant.Spec}.Revision()
	}
}

func (f *fakeProxy) ask(_ context.Context, proxy netip.AddrPort, _ string) portAnswer {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	answer := portAnswer{asked: time.Now(), tenant: f.tenants[proxy.Port()]}
	if answer.tenant == "" || f.closed[proxy.Port()] {
		answer.tenant, answer.err = "", "connection refused"
		return answer
	}
	if answer.revision = f.revision[answer.tenant]; answer.revision == "" {
		answer.revision = "other"
	}
	return answer
}

func (f *fakeProxy) release(_ context.Context, proxy netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.released = append(f.released, proxy.Port())
}

func (f *fakeProxy) takeReleased() []uint16 {
	f.mu.Lock()
	defer f.mu.Unlock()
	released := f.released
	f.released = nil
	return released
}

// proberFixture is a prober of one fake proxy, with the reconciler that it triggers.
type proberFixture struct {
	*ProxyProber
	*fakeProxy
	tenants *TenantReconciler
	server  *api
}

func newProberFixture(t *testing.T, objects ...client.Object) *proberFixture {
	t.Helper()
	server, proxy := newAPI(t, objects...), &fakeProxy{}
	prober := NewProxyProber(server, []netip.Addr{netip.MustParseAddr("172.16.28.8")})
	prober.askState, prober.ask, prober.give = proxy.askState, proxy.ask, proxy.release
	s := settingsFixture()
	s.Proxy.VerifyPorts = true
	return &proberFixture{
		ProxyProber: prober, fakeProxy: proxy, server: server,
		tenants: &TenantReconciler{
			Client: server, Policies: NewPolicyApplier(server, s), Protected: protectedFixture(), Proxy: prober, Events: &recorder{},
			NoProxy:     func(*v1alpha1.EgressTenant) string { return "localhost" },
			Unsupported: func(*v1alpha1.EgressTenant) *inject.Refusal { return nil },
			DirectURL: func(tenant *v1alpha1.EgressTenant) string {
				return "http://" + net.JoinHostPort("172.16.28.8", strconv.Itoa(int(tenant.Spec.ProxyPort())))
			},
		},
	}
}

// run runs the prober, and the reconciler for each tenant that it reports, until the
// test ends.
func (f *proberFixture) run(t *testing.T) {
	go func() {
		if err := f.Start(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	go func() {
		for {
			select {
			case <-t.Context().Done():
				return
			case changed := <-f.changes:
				if _, err := f.tenants.Reconcile(t.Context(), requestFor(changed.Object.GetName())); err != nil {
					t.Error(err)
				}
			}
		}
	}()
}

// status returns the reasons of ProxyReachable and Ready, and the port that pods are
// admitted to.
func (f *proberFixture) status(t *testing.T, name string) string {
	t.Helper()
	tenant := &v1alpha1.EgressTenant{}
	if err := f.server.Get(t.Context(), client.ObjectKey{Name: name}, tenant); err != nil {
		t.Fatal(err)
	}
	reachable, ready := "none", "none"
	for _, condition := range tenant.Status.Conditions {
		switch condition.Type {
		case names.ConditionProxyReachable:
			reachable = string(condition.Status) + " " + condition.Reason
		case names.ConditionReady:
			ready = condition.Reason
		}
	}
	return reachable + ", " + ready + ", " + tenant.Status.ProxyURL
}

// TestProxyReachable: the condition follows the proxy, in both directions and within
// 30 s. A state that stays is written once.
func TestProxyReachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := tenantFixture("client-a", 3129), tenantFixture("client-b", 3130)
		f := newProberFixture(t, a, b)
		check := func(when string, wanted map[string]string) {
			t.Helper()
			synctest.Wait()
			got := map[string]string{"client-a": f.status(t, "client-a"), "client-b": f.status(t, "client-b")}
			if diff := gocmp.Diff(wanted, got); diff != "" {
				t.Errorf("%s, -want +got:\n%s", when, diff)
			}
		}
		f.serve(map[uint16]string{3129: "client-a", 3130: "client-b"}, a, b)
		f.run(t)
		time.Sleep(time.Second)
		served := map[string]string{
			"client-a": "True ProxyReachable, Ready, http://172.16.28.8:3129", "client-b": "True ProxyReachable, Ready, http://172.16.28.8:3130",
		}
		check("served", served)

		writes := f.server.statusWrites
		time.Sleep(time.Hour)
		if check("an hour later", served); f.server.statusWrites != writes {
			t.Errorf("%d writes in an hour without a change", f.server.statusWrites-writes)
		}

		f.serve(nil)
		time.Sleep(15 * time.Second)
		// Pods stay admitted to the ports: they are closed by the proxy itself.
		check("stopped", map[string]string{
			"client-a": "False ProxyUnreachable, ProxyUnreachable, http://172.16.28.8:3129",
			"client-b": "False ProxyUnreachable, ProxyUnreachable, http://172.16.28.8:3130",
		})
		f.serve(map[uint16]string{3129: "client-a", 3130: "client-b"}, a)
		time.Sleep(15 * time.Second)
		check("started with an older configuration of client-b", map[string]string{
			"client-a": served["client-a"], "client-b": "False ProxyOutOfSync, ProxyOutOfSync, http://172.16.28.8:3130",
		})
		if err := testutil.CollectAndCompare(f, strings.NewReader(`
# HELP egress_webhook_proxy_reachable Whether a proxy serves the tenant's Revision on the tenant's port. Only the leader exports it.
# TYPE egress_webhook_proxy_reachable gauge
egress_webhook_proxy_reachable{proxy="172.16.28.8",tenant="client-a"} 1
egress_webhook_proxy_reachable{proxy="172.16.28.8",tenant="client-b"} 0
# HELP egress_webhook_proxy_up Whether a proxy machine answers. Only the leader exports it.
# TYPE egress_webhook_proxy_up gauge
egress_webhook_proxy_up{proxy="172.16.28.8"} 1
`)); err != nil {
			t.Error(err)
		}
	})
}

// TestPortsAreAdmittedOnceServed: pods are admitted to a port when the proxy serves
// their tenant there, and not while it serves another one.
func TestPortsAreAdmittedOnceServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := tenantFixture("client-a", 3129)
		f := newProberFixture(t, a)
		f.serve(map[uint16]string{3129: "client-b"})
		f.run(t)
		time.Sleep(time.Minute)
		if got, want := f.status(t, "client-a"), "False ProxyOutOfSync, ProxyOutOfSync, "; got != want {
			t.Errorf("while it is the port of another: %q, want %q", got, want)
		}
		if released := f.takeReleased(); len(released) > 0 {
			t.Errorf("released %v, which another tenant is served on", released)
		}
		// In whatever revision: its list may be older, the tenant is the same.
		f.serve(map[uint16]string{3129: "client-a"})
		time.Sleep(15 * time.Second)
		if got, want := f.status(t, "client-a"), "False ProxyOutOfSync, ProxyOutOfSync, http://172.16.28.8:3129"; got != want {
			t.Errorf("served: %q, want %q", got, want)
		}
	})
}

// TestPortsAreReleased: a closed port is released for a tenant that waits for it, when
// no tenant's status and no NetworkPolicy has admitted pods to it for 30 s.
func TestPortsAreReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waiting, former := tenantFixture("client-b", 3129), tenantFixture("client-a", 3129)
		policy := policyFixture("web", former)
		f := newProberFixture(t, waiting, policy)
		f.run(t)
		time.Sleep(5 * time.Minute)
		if released := f.takeReleased(); len(released) > 0 {
			t.Errorf("released %v, to which namespace web admits pods", released)
		}
		tenant := &v1alpha1.EgressTenant{}
		if err := f.server.Get(t.Context(), client.ObjectKey{Name: "client-b"}, tenant); err != nil {
			t.Fatal(err)
		}
		if message := tenant.Status.Conditions[len(tenant.Status.Conditions)-1].Message; !strings.Contains(message, "namespace web") {
			t.Errorf("the status does not name the namespace: %s", message)
		}

		if err := f.server.Delete(t.Context(), policy); err != nil {
			t.Fatal(err)
		}
		f.usePolicy(policy) // as the informer does
		time.Sleep(29 * time.Second)
		if released := f.takeReleased(); len(released) > 0 {
			t.Errorf("released %v within 30 s", released)
		}
		time.Sleep(15 * time.Second)
		if released := f.takeReleased(); len(released) == 0 || released[0] != 3129 {
			t.Errorf("released %v, want 3129", released)
		}

		f.serve(map[uint16]string{3129: "client-b"}, waiting)
		time.Sleep(15 * time.Second)
		if got, want := f.status(t, "client-b"), "True ProxyReachable, Ready, http://172.16.28.8:3129"; got != want {
			t.Errorf("in the end: %q, want %q", got, want)
		}
		f.takeReleased()
		f.serve(nil)
		time.Sleep(5 * time.Minute)
		if released := f.takeReleased(); len(released) > 0 {
			t.Errorf("released %v, to which pods of its tenant are admitted", released)
		}
	})
}

// TestSharedPortIsNotReleased: of two tenants with one port, neither gets it.
func TestSharedPortIsNotReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newProberFixture(t, tenantFixture("client-a", 3129), tenantFixture("client-b", 3129))
		f.run(t)
		time.Sleep(5 * time.Minute)
		if released := f.takeReleased(); len(released) > 0 {
			t.Errorf("released %v", released)
		}
		f.serve(map[uint16]string{3129: "client-a"})
		time.Sleep(time.Minute)
		if got, want := f.status(t, "client-a"), "False ProxyOutOfSync, PortConflict, "; got != want {
			t.Errorf("client-a: %q, want %q", got, want)
		}
	})
}

// TestNewcomerDoesNotTakeAPort: a tenant that is written with the port of another one
// is not ready, and the other one stays as it is, until the proxy gives the port away.
func TestNewcomerDoesNotTakeAPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, newcomer := tenantFixture("client-a", 3129), tenantFixture("client-b", 3129)
		f := newProberFixture(t, a)
		f.serve(map[uint16]string{3129: "client-a"}, a)
		f.run(t)
		time.Sleep(time.Minute)
		if err := f.server.Create(t.Context(), newcomer); err != nil {
			t.Fatal(err)
		}
		check := func(when string, wanted map[string]string) {
			t.Helper()
			time.Sleep(time.Minute)
			for name, want := range wanted {
				if _, err := f.tenants.Reconcile(t.Context(), requestFor(name)); err != nil { // as the watch of tenants does
					t.Fatal(err)
				}
				if got := f.status(t, name); got != want {
					t.Errorf("%s, %s: %q, want %q", when, name, got, want)
				}
			}
		}
		check("with a newcomer", map[string]string{
			"client-a": "True ProxyReachable, Ready, http://172.16.28.8:3129", "client-b": "False ProxyOutOfSync, PortConflict, ",
		})
		f.serve(map[uint16]string{3129: "client-b"}, newcomer)
		check("after the proxy has changed", map[string]string{
			"client-a": "False ProxyOutOfSync, ProxyOutOfSync, http://172.16.28.8:3129", "client-b": "True ProxyReachable, PortConflict, ",
		})
		if err := f.server.Delete(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		check("after client-a is gone", map[string]string{"client-b": "True ProxyReachable, Ready, http://172.16.28.8:3129"})
	})
}

// TestChangedPortIsGivenUp: a tenant whose port changes loses the old one at once.
func TestChangedPortIsGivenUp(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3130)
	tenant.Status.ProxyURL = "http://172.16.28.8:3129"
	s := settingsFixture()
	s.Proxy.VerifyPorts = true
	if ports := portsOf(netpol.Build(tenant, "web", s), s.Proxy.Addresses); len(ports) > 0 {
		t.Errorf("pods are admitted to %v", ports)
	}
	tenant.Status.ProxyURL = "http://172.16.28.8:3130"
	if ports := portsOf(netpol.Build(tenant, "web", s), s.Proxy.Addresses); len(ports) != 1 || ports[0] != 3130 {
		t.Errorf("pods are admitted to %v, want 3130", ports)
	}
}

// refusing is an address on which no program listens. The port of a closed listener may be
// that of another test's server.
const refusing = "127.0.0.1:1"

// askPatiently repeats a question that was not answered in time: a busy machine may answer
// later.
func askPatiently(ask func() portAnswer) portAnswer {
	for range 10 {
		if answer := ask(); answer.err != "no answer within "+askTimeout.String() {
			return answer
		}
	}
	return ask()
}

// TestAskOnce: the answer to a probe, and errors that are equal for equal causes.
func TestAskOnce(t *testing.T) {
	t.Parallel()
	server := func(handler http.HandlerFunc) netip.AddrPort {
		s := httptest.NewServer(handler)
		t.Cleanup(s.Close)
		return netip.MustParseAddrPort(s.Listener.Addr().String())
	}
	closed := server(func(http.ResponseWriter, *http.Request) {})
	for name, test := range map[string]struct {
		proxy netip.AddrPort
		want  portAnswer
	}{
		"a proxy": {server(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.String() != names.ProbeURL || r.Method != http.MethodGet {
				t.Errorf("it is asked for %s %s", r.Method, r.URL)
			}
			w.Header().Set(names.HeaderTenant, "client-a")
			w.Header().Set(names.HeaderRevision, "a1")
			w.WriteHeader(http.StatusForbidden)
		}), portAnswer{tenant: "client-a", revision: "a1"}},
		"another server": {closed, portAnswer{err: "status 200 without the header X-Egress-Revision, so this is not a proxy of egress.scw"}},
		"no answer":      {server(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), portAnswer{err: "the connection ended without an answer"}},
		"nothing there":  {netip.MustParseAddrPort(refusing), portAnswer{err: "connection refused"}},
	} {
		got := askPatiently(func() portAnswer { return askOnce(t.Context(), test.proxy) })
		if got.asked.IsZero() {
			t.Errorf("%s: the answer has no time", name)
		}
		got.asked = time.Time{}
		if diff := gocmp.Diff(test.want, got, gocmp.AllowUnexported(portAnswer{})); diff != "" {
			t.Errorf("%s, -want +got:\n%s", name, diff)
		}
	}
}
