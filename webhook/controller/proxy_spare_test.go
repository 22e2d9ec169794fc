package controller

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"egress.scw/webhook/api/names"
)

// addSpare adds a spare machine, which does not answer yet.
func (f *proberFixture) addSpare() *fakeProxy {
	first, spare := f.fakeProxy, &fakeProxy{}
	f.UseSpare(spareFixture())
	of := func(proxy netip.AddrPort) *fakeProxy {
		if proxy.Addr() == spareFixture() {
			return spare
		}
		return first
	}
	f.ProxyProber.askState = func(ctx context.Context, proxy netip.AddrPort) machineState { return of(proxy).askState(ctx, proxy) }
	f.ProxyProber.ask = func(ctx context.Context, proxy netip.AddrPort, tenant string) portAnswer {
		return of(proxy).ask(ctx, proxy, tenant)
	}
	f.give = func(ctx context.Context, proxy netip.AddrPort) { of(proxy).release(ctx, proxy) }
	return spare
}

// TestSpareMachine: a spare machine that does not answer is in no status and no metric,
// and is not asked on the tenants' ports. While it answers, its answers count, also alone.
func TestSpareMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := tenantFixture("client-a", 3129)
		f := newProberFixture(t, a)
		spare := f.addSpare()
		served := map[uint16]string{3129: "client-a"}
		f.serve(served, a)
		f.run(t)
		const ready = "True ProxyReachable, Ready, http://172.16.28.8:3129"
		check := func(when, want string, endpoint bool, machines ...string) {
			t.Helper()
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if got := f.status(t, "client-a"); got != want {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
			if answers, known := f.Answers(spareFixture(), 3129); !known || answers != endpoint {
				t.Errorf("%s: the spare machine answers: %t (known %t), want %t", when, answers, known, endpoint)
			}
			got := f.Machines()
			if len(got) != len(machines) {
				t.Errorf("%s: the machines are %+v, want %q", when, got, machines)
				return
			}
			for i, machine := range got {
				if machine.Address.String() != machines[i] {
					t.Errorf("%s: machine %d is %+v, want %s", when, i, machine, machines[i])
				}
			}
		}
		time.Sleep(2 * time.Minute)
		check("it never answered", ready, false, "172.16.28.8")
		if got, want := f.message(t, "client-a"), "Port 3129 of the proxy serves the tenant's revision "+revisionOf(a); got != want {
			t.Errorf("the message is %q, want %q", got, want)
		}
		if ports, states := spare.takeAsked(); ports != 0 || states == 0 {
			t.Errorf("the spare machine is asked %d times on ports, and %d times for its state", ports, states)
		}
		spare.serve(served, a)
		check("both answer", ready, true, "172.16.28.8", "172.16.28.70")
		f.serve(nil)
		check("it answers alone", ready, true, "172.16.28.8", "172.16.28.70")
		spare.serve(served)
		check("it serves another list", "False ProxyOutOfSync, ProxyOutOfSync, http://172.16.28.8:3129", true, "172.16.28.8", "172.16.28.70")
		spare.serve(nil)
		check("both are away", "False ProxyUnreachable, ProxyUnreachable, http://172.16.28.8:3129", false, "172.16.28.8")
		f.serve(served, a)
		check("it has gone", ready, false, "172.16.28.8")
	})
}

// TestSpareIsReported: tenants are reconciled within 2 s when the spare machine begins to
// answer, and when it ends, because their endpoints change.
func TestSpareIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := tenantFixture("client-a", 3129)
		a.Status.AdmittedPort = 3129
		f := newProberFixture(t, a)
		spare := f.addSpare()
		served := map[uint16]string{3129: "client-a"}
		f.serve(served, a)
		reported := 0
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
				case <-f.changes:
					reported++
				}
			}
		}()
		time.Sleep(time.Minute)
		for _, tenants := range []map[uint16]string{served, nil, served} {
			synctest.Wait()
			reported = 0
			spare.serve(tenants, a)
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if reported != 1 {
				t.Errorf("serving %v: reported %d times, want once", tenants, reported)
			}
		}
	})
}

// TestSpareTakesPart: a tenant's pods are not admitted to a port that the spare machine,
// which answers, serves to another tenant.
func TestSpareTakesPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := tenantFixture("client-a", 3129)
		f := newProberFixture(t, a)
		spare := f.addSpare()
		f.serve(map[uint16]string{3129: "client-a"}, a)
		spare.serve(map[uint16]string{3129: "client-b"})
		f.run(t)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := f.status(t, "client-a"), "False ProxyOutOfSync, ProxyOutOfSync, "; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		spare.serve(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got, want := f.status(t, "client-a"), "True "+string(names.ReasonProxyReachable)+", Ready, http://172.16.28.8:3129"; got != want {
			t.Errorf("without the spare machine: %q, want %q", got, want)
		}
	})
}
