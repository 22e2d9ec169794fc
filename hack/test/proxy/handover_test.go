package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/internet"
	"egress.scw/hack/local/machine"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// Hosts that only one pod requests: they identify the sender of a line of the audit log.
const (
	handoverHostB = "handover-b.listed.example"
	handoverHostD = "handover-d.listed.example"
)

func handoverZone() internet.Zone {
	return internet.Zone{handoverHostB: {netip.MustParseAddr(echoAddress)}, handoverHostD: {netip.MustParseAddr(echoAddress)}}
}

// pod requests one host again and again, on a kept connection to a port of the proxy.
// The NetworkPolicy that it is under is its port: it changes when the cluster follows.
type pod struct {
	tenant, host string
	port         atomic.Int32
	// answered are the answers since they were last taken.
	answered atomic.Int32
}

func (p *pod) run(ctx context.Context) {
	var kept *connection
	for ; ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		// A kept connection outlives the policy under which it was opened.
		if kept == nil {
			conn, err := dial(ctx, netnsNode, fmt.Sprintf("%s:%d", proxyAddress, p.port.Load()))
			if err != nil {
				continue
			}
			kept = conn
		}
		if got, err := kept.ask(http.MethodGet, "http://"+p.host+"/ip", p.host); err != nil || got.status == 0 {
			kept.Close()
			kept = nil
			continue
		}
		_ = kept.SetDeadline(time.Now().Add(15 * time.Second))
		p.answered.Add(1)
	}
	if kept != nil {
		kept.Close()
	}
}

// checkHandover: two tenants swap their ports while the pods of both send requests on
// kept connections. The cluster follows later than the proxy. No request is logged as
// the other tenant's, the connections end, and both are served afterwards.
func (w *world) checkHandover(t *testing.T, vm *machine.VM, tenants []v1alpha1.Tenant) {
	b, d := &pod{tenant: "client-b", host: handoverHostB}, &pod{tenant: "client-d", host: handoverHostD}
	b.port.Store(sharedPort)
	d.port.Store(openPort)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan struct{}, 2)
	for _, p := range []*pod{b, d} {
		go func() { p.run(ctx); done <- struct{}{} }()
	}
	answered := func(when string) {
		t.Helper()
		for _, p := range []*pod{b, d} {
			p.answered.Store(0)
			eventually(t, p.tenant+", "+when, func() error {
				if n := p.answered.Load(); n < 20 {
					return fmt.Errorf("%d answers", n)
				}
				return nil
			})
		}
	}
	answered("before the swap")
	tunnel, err := w.tunnel(t.Context(), openPort)
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.Close()

	tenants = slices.Clone(tenants)
	for i := range tenants {
		proxy := *tenants[i].Proxy
		switch proxy.Port {
		case sharedPort:
			proxy.Port = openPort
		case openPort:
			proxy.Port = sharedPort
		}
		tenants[i].Proxy = &proxy
	}
	w.setSquidConf(encoded(t, squidConf(t, cloudinit.SourceFlexibleIP, tenants)))
	eventually(t, "both ports to be closed", func() error {
		metrics := scrape(t)
		for _, p := range []*pod{b, d} {
			if metrics[names.MetricPortClosed+`{tenant="`+p.tenant+`"}`] != 1 {
				return fmt.Errorf("the port of %s is open", p.tenant)
			}
		}
		return nil
	})
	if _, err := tunnel.ask(http.MethodGet, "/ip", echoName); err == nil {
		t.Error("a tunnel outlives the swap")
	}
	time.Sleep(2 * time.Second) // a pod may not have counted its last answer yet
	b.answered.Store(0)
	d.answered.Store(0)
	time.Sleep(25 * time.Second) // two runs of egress-sync
	in(t, vm, "systemctl", "reload", "nftables")
	for port, p := range map[int]*pod{sharedPort: b, openPort: d} {
		if n := p.answered.Load(); n > 0 {
			t.Errorf("%s: %d answers while its port is nobody's", p.tenant, n)
		}
		if conn, err := dial(t.Context(), netnsNode, fmt.Sprintf("%s:%d", proxyAddress, port)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("port %d, which is nobody's: %v, want it refused", port, err)
			if err == nil {
				conn.Close()
			}
		}
	}

	// The cluster follows: the policies of both tenants change, and then the leader
	// releases both ports until they are served.
	b.port.Store(openPort)
	d.port.Store(sharedPort)
	releasing, served := context.WithCancel(t.Context())
	go func() {
		for ; releasing.Err() == nil; time.Sleep(3 * time.Second) {
			for _, port := range []int{sharedPort, openPort} {
				if conn, err := dial(releasing, netnsNode, fmt.Sprintf("%s:%d", proxyAddress, port+names.ReleaseOffset)); err == nil {
					conn.Close()
					t.Errorf("the release of port %d is answered", port)
				}
			}
		}
	}()
	answered("after the swap")
	served()
	checkRevisions(t, tenants)
	stop()
	<-done
	<-done
	checkAttribution(t, vm, b, d)
}

// checkAttribution: every request for a pod's host is logged as its tenant's.
func checkAttribution(t *testing.T, vm *machine.VM, pods ...*pod) {
	t.Helper()
	markAuditLog(t, vm) // so that the lines of all requests are written
	right, wrong := map[string]int{}, map[string]int{}
	for _, record := range wholeAuditLog(t, vm) {
		for _, p := range pods {
			switch {
			case record.Host != p.host:
			case record.Tenant == p.tenant:
				right[p.tenant]++
			default:
				wrong[p.tenant]++
			}
		}
	}
	t.Logf("requests by the tenant that sent them: %v, logged as another's: %v", right, wrong)
	for _, p := range pods {
		if wrong[p.tenant] > 0 || right[p.tenant] < 40 {
			t.Errorf("%s: %d requests, and %d logged as another tenant's", p.tenant, right[p.tenant], wrong[p.tenant])
		}
	}
}
