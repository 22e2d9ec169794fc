package controller

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/proxystatus"
	"egress.scw/webhook/api/v1alpha1"
)

// addMachine adds a second proxy machine, 172.16.28.9.
func (f *proberFixture) addMachine() *fakeProxy {
	first, second := f.fakeProxy, &fakeProxy{}
	address := netip.MustParseAddr("172.16.28.9")
	f.addresses = append(f.addresses, address)
	of := func(proxy netip.AddrPort) *fakeProxy {
		if proxy.Addr() == address {
			return second
		}
		return first
	}
	f.ProxyProber.askState = func(ctx context.Context, proxy netip.AddrPort) machineState { return of(proxy).askState(ctx, proxy) }
	f.ProxyProber.ask = func(ctx context.Context, proxy netip.AddrPort, tenant string) portAnswer {
		return of(proxy).ask(ctx, proxy, tenant)
	}
	f.give = func(ctx context.Context, proxy netip.AddrPort) { of(proxy).release(ctx, proxy) }
	return second
}

// message returns the message of the condition ProxyReachable.
func (f *proberFixture) message(t *testing.T, name string) string {
	t.Helper()
	tenant := &v1alpha1.EgressTenant{}
	if err := f.server.Get(t.Context(), client.ObjectKey{Name: name}, tenant); err != nil {
		t.Fatal(err)
	}
	for _, condition := range tenant.Status.Conditions {
		if condition.Type == names.ConditionProxyReachable {
			return condition.Message
		}
	}
	return ""
}

// TestMachinesAreAskedForTheirState: a machine whose tenants are admitted to their ports
// is asked by one request for all of them, and what it answers is in the status within
// seconds.
func TestMachinesAreAskedForTheirState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := tenantFixture("client-a", 3129), tenantFixture("client-b", 3130)
		f := newProberFixture(t, a, b)
		all := map[uint16]string{3129: "client-a", 3130: "client-b"}
		f.serve(all, a, b)
		f.run(t)
		time.Sleep(31 * time.Second) // between two questions, which begin every 2 s
		f.takeAsked()
		time.Sleep(time.Minute)
		if ports, states := f.takeAsked(); ports != 0 || states != 30 {
			t.Errorf("in a minute, ports are asked %d times, and the machine %d times, want 0 and 30", ports, states)
		}
		f.serve(nil)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, want := f.status(t, "client-a"), "False ProxyUnreachable, ProxyUnreachable, http://172.16.28.8:3129"; got != want {
			t.Errorf("stopped: %q, want %q", got, want)
		}
		if diff := cmp.Diff([]Machine{{Address: f.addresses[0]}}, f.Machines(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("stopped, -want +got:\n%s", diff)
		}
		f.serve(map[uint16]string{3129: "client-a"}, a)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, want := f.status(t, "client-b"), "False ProxyOutOfSync, ProxyOutOfSync, http://172.16.28.8:3130"; got != want {
			t.Errorf("without client-b: %q, want %q", got, want)
		}
		if got, want := f.message(t, "client-b"), "serves no tenant on port 3130"; !strings.Contains(got, want) {
			t.Errorf("without client-b: the message is %q, want %q", got, want)
		}
		served := []proxystatus.Tenant{{Port: 3129, Revision: revisionOf(a), Name: "client-a"}}
		if got := f.Machines(); len(got) != 1 || !got[0].Up || !cmp.Equal(got[0].Served, served) {
			t.Errorf("the machines are %+v", got)
		}
	})
}

// TestEarlierVersions: the ports of a machine that does not tell its state are asked
// instead. They are not when it did so less than a minute ago.
func TestEarlierVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := tenantFixture("client-a", 3129)
		f := newProberFixture(t, a)
		f.isOld = true
		f.serve(map[uint16]string{3129: "client-a"}, a)
		f.run(t)
		const ready = "True ProxyReachable, Ready, http://172.16.28.8:3129"
		check := func(when, want string, up bool) {
			t.Helper()
			synctest.Wait()
			if got := f.status(t, "client-a"); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
			if machines := f.Machines(); len(machines) != 1 || machines[0].Up != up {
				t.Errorf("%s: the machines are %+v, want one that is up: %t", when, machines, up)
			}
		}
		time.Sleep(time.Minute)
		check("of an earlier version", ready, true)
		if ports, _ := f.takeAsked(); ports == 0 {
			t.Error("the ports of a machine of an earlier version are not asked")
		}

		f.change(func() { f.isOld = false })
		time.Sleep(15 * time.Second)
		f.takeAsked()
		time.Sleep(time.Minute)
		check("replaced", ready, true)
		if ports, _ := f.takeAsked(); ports != 0 {
			t.Errorf("the ports of a machine that tells its state are asked %d times", ports)
		}

		f.change(func() { f.isOld = true })
		time.Sleep(50 * time.Second)
		check("silent for 50 s", "False ProxyUnreachable, ProxyUnreachable, http://172.16.28.8:3129", false)
		time.Sleep(30 * time.Second)
		check("of the earlier version again", ready, true)
	})
}

// TestClosedPortAdmitsNobody: Squid tells that it serves a tenant on a port which the
// firewall closes, because it was another tenant's. Pods are not admitted to it, and it
// is released.
func TestClosedPortAdmitsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := tenantFixture("client-b", 3129)
		f := newProberFixture(t, b)
		f.closed = map[uint16]bool{3129: true}
		f.serve(map[uint16]string{3129: "client-b"}, b)
		f.run(t)
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if got, want := f.status(t, "client-b"), "False ProxyUnreachable, ProxyUnreachable, "; got != want {
			t.Errorf("closed: %q, want %q", got, want)
		}
		if released := f.takeReleased(); len(released) > 0 {
			t.Errorf("released %v within 30 s", released)
		}
		time.Sleep(20 * time.Second)
		if released := f.takeReleased(); len(released) == 0 {
			t.Error("the port is not released")
		}
		f.change(func() { f.closed = nil })
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if got, want := f.status(t, "client-b"), "True ProxyReachable, Ready, http://172.16.28.8:3129"; got != want {
			t.Errorf("opened: %q, want %q", got, want)
		}
	})
}

// TestSeveralMachines: a tenant is reachable while one machine serves it and the others
// are away, and the message names those. It is out of sync if a machine serves another
// list. It is admitted to a port only when all machines serve it there.
func TestSeveralMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := tenantFixture("client-a", 3129)
		f := newProberFixture(t, a)
		second := f.addMachine()
		served := map[uint16]string{3129: "client-a"}
		f.serve(served, a)
		f.run(t)
		check := func(when, want, message string) {
			t.Helper()
			time.Sleep(15 * time.Second)
			synctest.Wait()
			if got := f.status(t, "client-a"); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
			if got := f.message(t, "client-a"); !strings.Contains(got, message) {
				t.Errorf("%s: the message is %q, want %q", when, got, message)
			}
		}
		const url = "http://172.16.28.8:3129"
		check("before the second machine has answered", "False ProxyUnreachable, ProxyUnreachable, ", "172.16.28.9:3129: connection refused")
		second.serve(served, a)
		check("both", "True ProxyReachable, Ready, "+url, "Port 3129 of the proxy serves the tenant's revision "+revisionOf(a))
		second.serve(nil)
		check("the second is away", "True ProxyReachable, Ready, "+url, "a machine does not answer: 172.16.28.9:3128: connection refused")
		writes := f.server.statusWrites
		time.Sleep(40 * time.Second)
		if f.server.statusWrites != writes {
			t.Errorf("%d writes while nothing changes", f.server.statusWrites-writes)
		}
		second.serve(served)
		check("the second is out of sync", "False ProxyOutOfSync, ProxyOutOfSync, "+url, "the proxy 172.16.28.9 serves revision other")
		f.serve(nil)
		check("and the first is away", "False ProxyOutOfSync, ProxyOutOfSync, "+url, "172.16.28.8:3128: connection refused")
		second.serve(nil)
		check("both are away", "False ProxyUnreachable, ProxyUnreachable, "+url, "172.16.28.8:3128: connection refused; 172.16.28.9:3128")
	})
}

// TestDrainedMachineStaysAway: the tenants' ports of a machine that refuses to tell its
// state are not asked instead, however long it serves its last clients.
func TestDrainedMachineStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := tenantFixture("client-a", 3129)
		f := newProberFixture(t, a)
		second := f.addMachine()
		served := map[uint16]string{3129: "client-a"}
		f.serve(served, a)
		second.serve(served, a)
		f.run(t)
		time.Sleep(time.Minute)
		second.change(func() { second.drained = true })
		for _, after := range []time.Duration{5 * time.Second, 5 * time.Minute} {
			time.Sleep(after)
			synctest.Wait()
			if answers, known := f.Answers(f.addresses[1], 3129); answers || !known {
				t.Errorf("%s later: answers: %t, known: %t", after, answers, known)
			}
			if got, want := f.status(t, "client-a"), "True ProxyReachable, Ready, http://172.16.28.8:3129"; got != want {
				t.Errorf("%s later: %q, want %q", after, got, want)
			}
		}
	})
}

// patientAsker is a statusAsker for machines that answer: a busy machine does so late.
func patientAsker() statusAsker {
	asker := newStatusAsker()
	asker.timeout = time.Minute
	return asker
}

// TestAskStateRefused: a refused connection is no sign of an earlier version, whose
// firewall drops the question.
func TestAskStateRefused(t *testing.T) {
	t.Parallel()
	if state := patientAsker().askOnce(t.Context(), netip.MustParseAddrPort(refusing)); !state.withheld || state.err != "connection refused" {
		t.Errorf("%+v", state)
	}
}

// TestAskState: the answer of a machine, and errors that are equal for equal causes.
func TestAskState(t *testing.T) {
	t.Parallel()
	const revision = "0123456789abcdef"
	page := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.RequestURI != names.StatusPath || r.Method != http.MethodGet {
				t.Errorf("it is asked for %s %s", r.Method, r.RequestURI)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		served  []proxystatus.Tenant
		err     string
	}{
		"a machine":         {page(http.StatusOK, proxystatus.Head+"\n3129:"+revision+":client-a\n"), []proxystatus.Tenant{{Port: 3129, Revision: revision, Name: "client-a"}}, ""},
		"without tenants":   {page(http.StatusOK, proxystatus.Head+"\n-\n"), nil, ""},
		"a denial":          {page(http.StatusForbidden, proxystatus.Head+"\n-\n"), nil, "status 403: it is drained, or not a proxy of egress.scw"},
		"another server":    {page(http.StatusOK, "welcome\n"), nil, `its state cannot be read: the page does not begin with the line "egress-status/1"`},
		"an endless answer": {page(http.StatusOK, strings.Repeat("a", 1<<20)), nil, fmt.Sprintf("its state cannot be read: the page has more than %d bytes", proxystatus.MaxSize)},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}, nil, "status 302, so this is not a proxy of egress.scw"},
		"no answer":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, "the connection ended without an answer"},
		"a silent machine": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil, "no answer within 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(test.handler)
			t.Cleanup(server.Close)
			asker := patientAsker()
			if name == "a silent machine" {
				asker = newStatusAsker()
			}
			state := asker.askOnce(t.Context(), netip.MustParseAddrPort(server.Listener.Addr().String()))
			if diff := cmp.Diff(test.served, state.served); diff != "" || state.err != test.err {
				t.Errorf("error %q, want %q; -want +got:\n%s", state.err, test.err, diff)
			}
			if withheld := name == "a denial"; state.withheld != withheld {
				t.Errorf("withheld: %t, want %t", state.withheld, withheld)
			}
			if state.asked.IsZero() || state.answered.IsZero() != (test.err != "") {
				t.Errorf("the times are %v and %v", state.asked, state.answered)
			}
		})
	}
}

// TestAskStateKeepsItsConnection: a connection is used for many questions, and another one when
// it has ended.
func TestAskStateKeepsItsConnection(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, proxystatus.Head+"\n-\n")
	}))
	var connections atomic.Int32
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	asker, address := patientAsker(), netip.MustParseAddrPort(server.Listener.Addr().String())
	const questions = 20
	for range questions {
		if state := asker.ask(t.Context(), address); state.err != "" {
			t.Error(state.err)
		}
	}
	// Go's client gives up a connection whose goroutines are not scheduled for 50 ms.
	if got := connections.Load(); got > questions/4 {
		t.Errorf("%d connections for %d questions", got, questions)
	}
	server.CloseClientConnections()
	if state := asker.ask(t.Context(), address); state.err != "" {
		t.Error(state.err)
	}
}
