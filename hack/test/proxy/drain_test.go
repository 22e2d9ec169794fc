package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/machine"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// checkDrain gives the machine the drained form of its squid.conf: the port for the state
// is closed to the network, and nothing else changes for clients. The machine reports how
// many of their connections are open. With the ordinary file it tells its state again.
func (w *world) checkDrain(t *testing.T, vm *machine.VM, tenants []v1alpha1.Tenant) {
	ordinary := encoded(t, squidConf(t, cloudinit.SourceFlexibleIP, tenants))
	drained, err := cloudinit.DrainedSquidConf(ordinary)
	if err != nil {
		t.Fatal(err)
	}
	tunnel, err := w.tunnel(t.Context(), ownPort)
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.Close()
	// The origin would close a connection without a request.
	if _, err := tunnel.ask(http.MethodGet, "/ip", echoName); err != nil {
		t.Fatal(err)
	}

	start := time.Now()
	w.setSquidConf(drained)
	open := w.awaitConnections(t, drained, func(n int) bool { return n >= 1 })
	t.Logf("drained after %s", time.Since(start).Round(time.Second/10))
	state := fmt.Sprintf("%s:%d", proxyAddress, names.StatusPort)
	if conn, err := dial(t.Context(), netnsNode, state); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection to %s: %v, want it refused", state, err)
		if err == nil {
			conn.Close()
		}
	}
	checkRevisions(t, tenants)
	checkExporters(t, vm)
	if err := tunnel.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got, err := tunnel.ask(http.MethodGet, "/ip", echoName); err != nil || got.origin != ownAddress {
		t.Errorf("the tunnel has not survived: %+v, %v", got, err)
	}
	tunnel.Close()
	w.awaitConnections(t, drained, func(n int) bool { return n < open })

	w.setSquidConf(ordinary)
	eventually(t, "the state of the machine that stays", func() error {
		conn, err := dial(t.Context(), netnsNode, state)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	checkStatus(t, vm, tenants)
}

// awaitConnections waits until the machine reports that it serves a drained squid.conf,
// with a number of open connections, and returns the number.
func (w *world) awaitConnections(t *testing.T, drained []byte, are func(int) bool) int {
	t.Helper()
	var reported int
	eventually(t, "the number of open connections", func() error {
		status, err := cloudinit.ParseStatus(w.servers[0].machine().UserData[cloudinit.UserDataStatus])
		switch {
		case err != nil:
			return err
		case status.Served != cloudinit.Digest(drained) || status.Connections == nil:
			return fmt.Errorf("it reports %+v", status)
		case !are(*status.Connections):
			return fmt.Errorf("it reports %d connections", *status.Connections)
		}
		reported = *status.Connections
		return nil
	})
	return reported
}
