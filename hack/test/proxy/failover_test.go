package proxy

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"egress.scw/cloudinit"
	"egress.scw/cloudinit/squid"
	"egress.scw/hack/local/internet"
	"egress.scw/hack/test/stopwatch"
)

// Hosts that only one client requests: they identify the sender of a line of the audit log.
const (
	failoverHostB = "failover-b.listed.example" // by the sidecar of client-b
	failoverHostD = "failover-d.listed.example" // by the sidecar of client-d
	failoverHostE = "failover-e.listed.example" // by the ports of client-e
)

func failoverZone() internet.Zone {
	echo := []netip.Addr{netip.MustParseAddr(echoAddress)}
	return internet.Zone{failoverHostB: echo, failoverHostD: echo, failoverHostE: echo}
}

// The rates of new tunnels: that of the clients that are judged, and that of those that
// only show that a machine serves.
const (
	failoverRate = 200
	serviceRate  = 20
)

// The promises about a machine that loses its power: the time after which no new tunnel
// fails, and the share of the failed ones.
const (
	failoverBound = 2 * time.Second
	failoverShare = 0.01
)

// failover is two machines with the sidecars of two tenants.
type failover struct {
	machines [2]*sidecars
	b, d     *podSidecar
	// used is the machine that the sidecar of client-b uses, other the other one.
	used, other *sidecars
}

func startFailover(t *testing.T, one, two *sidecars) *failover {
	t.Helper()
	program := buildSidecar(t)
	f := &failover{machines: [2]*sidecars{one, two}}
	f.b = one.startSidecar(t, program, "client-b", one.authority, 0)
	f.d = one.startSidecar(t, program, "client-d", one.authority, 1)
	f.b.mount(t, one, two)
	f.d.mount(t, one, two)
	f.used, f.other = one, two
	if f.clientB(1).once(t).origin == two.shared {
		f.used, f.other = two, one
	}
	return f
}

func (f *failover) clientB(rate int) client {
	return client{failoverHostB, rate, time.Minute, f.b.dial}
}

func (f *failover) clientD(rate int) client {
	return client{failoverHostD, rate, time.Minute, f.d.dial}
}

// clientE uses the port of client-e on one machine, without a sidecar.
func (f *failover) clientE(m *sidecars, rate int, patience time.Duration) client {
	address := fmt.Sprintf("%s:%d", m.private, strictPort)
	return client{failoverHostE, rate, patience, func(ctx context.Context) (*connection, error) {
		return dial(ctx, netnsNode, address)
	}}
}

// check tests the events in the lifetime of two machines. The steps build on each other.
func (f *failover) check(t *testing.T) {
	_ = t.Run("power is lost", f.checkPowerLoss) &&
		t.Run("power is back", f.checkPowerBack) &&
		t.Run("certificates", f.checkRotation) &&
		t.Run("attribution", f.checkAttribution)
}

// checkPowerLoss: the machine that is used loses its power under load. At most 1 % of the
// new tunnels fail, and none after 2 s.
func (f *failover) checkPowerLoss(t *testing.T) {
	stopB, stopD := f.clientB(failoverRate).run(t), f.clientD(serviceRate).run(t)
	stopUsed, stopOther := f.clientE(f.used, serviceRate, failoverBound).run(t), f.clientE(f.other, serviceRate, time.Minute).run(t)
	time.Sleep(2 * time.Second)
	watch := stopwatch.Start()
	if err := f.used.vm.Unplug(t.Context()); err != nil {
		t.Fatal(err)
	}
	end := time.Now()
	killed := make(chan error, 1)
	go func() { killed <- f.used.vm.Kill(t.Context()) }()
	noticed := f.b.awaitPassedOver(t, f.used)
	elapsed := watch.Elapsed()
	if err := <-killed; err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(end.Add(3 * failoverBound)))
	// Until then, all answers are those of before.
	last := noticed.Time
	if end.After(last) {
		last = end
	}
	b, d := count(stopB(last), last), count(stopD(last), last)
	t.Logf("noticed %s after the machine was unplugged: %s", noticed.Time.Sub(end).Round(time.Millisecond), noticed.Error)
	t.Logf("sidecar of client-b: %s", b)
	t.Logf("sidecar of client-d: %s", d)
	if !strings.Contains(noticed.Error, "did not answer") {
		t.Errorf("the machine is passed over because of %q: its kernel has closed connections, and the test is not that of a loss of power", noticed.Error)
	}
	if elapsed > failoverBound {
		t.Errorf("passed over after %s", elapsed)
	}
	failed := slices.Concat(b.failed, d.failed)
	if all := b.all + d.all; float64(len(failed)) > failoverShare*float64(all) {
		t.Errorf("%d of %d new tunnels failed", len(failed), all)
	}
	for _, o := range failed[:min(len(failed), 20)] {
		t.Logf("a tunnel of %s after it failed: %v", o.begun.Sub(end), o.err)
	}
	for _, o := range failed {
		// On a machine with other work it may be noticed later.
		if since := o.begun.Sub(end); since > failoverBound && o.begun.After(noticed.Time) {
			t.Fatalf("a tunnel of %s after it failed: %v", since, o.err)
		}
	}
	if b.origin[f.used.shared] == 0 || b.origin[f.other.shared] == 0 {
		t.Errorf("a machine served no tunnel: %v", b.origin)
	}
	f.checkPlain(t, count(stopUsed(last), last), count(stopOther(last), last))
}

// checkNone: no tunnel has failed.
func checkNone(t *testing.T, o outcome) {
	t.Helper()
	if len(o.failed) > 0 {
		t.Errorf("%d of %d tunnels failed, one with: %v", len(o.failed), o.all, o.failed[0].err)
	}
}

// checkPlain: the ports of the machine with power serve all tunnels.
func (f *failover) checkPlain(t *testing.T, used, other outcome) {
	t.Helper()
	t.Logf("ports of the machine without power: %s", used)
	t.Logf("ports of the other one: %s", other)
	checkNone(t, other)
	if len(used.failed) == 0 || used.origin[f.used.strict] == 0 || other.origin[f.other.strict] == 0 {
		t.Error("the machine that lost its power serves all the same, or one never served: the test has no control")
	}
}

// checkPowerBack: the machine boots again. It has the certificate of before, and the
// sidecars use it again.
func (f *failover) checkPowerBack(t *testing.T) {
	boot := f.used.reported(t, nil).Boot
	stop := f.clientB(serviceRate).run(t)
	start := time.Now()
	if err := f.used.vm.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.used.wait(t, f.used.vm)
	booted := time.Now()
	f.b.awaitUsed(t, f.used)
	eventually(t, "a tunnel through the machine", func() error {
		if o := f.clientB(1).try(t.Context()); o.origin != f.used.shared {
			return fmt.Errorf("%+v", o)
		}
		return nil
	})
	t.Logf("booted in %s, and used %s later", booted.Sub(start).Round(time.Second/10), time.Since(booted).Round(time.Second/10))
	result := count(stop(time.Time{}), time.Time{})
	t.Logf("meanwhile: %s", result)
	checkNone(t, result)
	status := f.used.reported(t, func(status *cloudinit.Status) bool { return status.Boot.After(boot) && status.Served != "" })
	if status.Certificate != f.used.certificate {
		t.Error("it has another certificate")
	}
	f.used.checkTenants(t)
}

// checkRotation: the certificates of the tenant and of a machine are exchanged under
// load. No tunnel fails.
func (f *failover) checkRotation(t *testing.T) {
	stop := f.clientB(failoverRate).run(t)
	for range 2 {
		f.b.mount(t, f.used, f.other)
	}
	former := f.used.certificate
	in(t, f.used.vm, "rm", "/etc/egress/sidecars.pem") // as on the disk of a machine that is made anew
	in(t, f.used.vm, "systemctl", "start", "egress-sync.service")
	next := f.used.reported(t, func(status *cloudinit.Status) bool { return status.Certificate != former && status.Certificate != "" }).Certificate
	f.used.certificate = former + next
	f.b.mount(t, f.used, f.other)
	f.used.certificate = next
	f.b.mount(t, f.used)
	if o := f.clientB(1).once(t); o.origin != f.used.shared {
		t.Errorf("the machine with the new certificate is not used: %+v", o)
	}
	result := count(stop(time.Time{}), time.Time{})
	t.Logf("while certificates changed: %s", result)
	checkNone(t, result)
	if result.origin[f.used.shared] == 0 || result.origin[f.other.shared] == 0 {
		t.Errorf("a machine served no tunnel: %v", result.origin)
	}
}

// checkAttribution: each line of both audit logs has the tenant that sent the request,
// and its proof.
func (f *failover) checkAttribution(t *testing.T) {
	type sender struct{ tenant, identity, pod string }
	senders := map[string]sender{
		failoverHostB: {f.b.tenant, squid.IdentityCertificate, f.b.pod},
		failoverHostD: {f.d.tenant, squid.IdentityCertificate, f.d.pod},
		failoverHostE: {"client-e", squid.IdentityPort, "-"},
	}
	both := map[string]int{}
	for _, m := range f.machines {
		lines := map[string]int{}
		for _, record := range wholeAuditLog(t, m.vm) {
			want, ok := senders[record.Host]
			if !ok {
				continue
			}
			if got := (sender{record.Tenant, record.Identity, record.ClaimedPod}); got != want {
				t.Errorf("%s: a request of %+v is logged as that of %+v", m.name, want, got)
			}
			lines[record.Tenant]++
			both[record.Tenant]++
		}
		t.Logf("lines of %s: %v", m.name, lines)
		if lines["client-b"] < firstTunnels || lines["client-e"] < firstTunnels {
			t.Errorf("%s: too few lines: %v", m.name, lines)
		}
	}
	if both["client-d"] < firstTunnels {
		t.Errorf("too few lines: %v", both)
	}
}
