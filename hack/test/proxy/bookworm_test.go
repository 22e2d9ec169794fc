package proxy

import (
	"testing"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/machine"
)

// TestProxyOnBookworm boots Debian 12, and tests the steps of TestProxy whose outcome
// depends on the release: on the versions of Squid, cloud-init, rsyslog, mtail and dpkg's
// packages.
func TestProxyOnBookworm(t *testing.T) {
	w := newWorld(t, machine.Image{Release: machine.Bookworm, Network: machine.Dhclient})
	w.logs = receiveLogs(t)
	tenants := everyKind()
	vm := w.boot(t, cloudinit.SourceFlexibleIP, tenants)
	keepAuditLog(t, vm)
	w.checkServices(t, vm)
	w.checkAddresses(t, ownAddress, sharedAddress)
	checkRevisions(t, tenants)
	t.Run("audit", func(t *testing.T) { w.checkAudit(t, vm, tenants) })
	t.Run("firewall", func(t *testing.T) { w.checkFirewall(t, vm, tenants) })
	t.Run("metrics", func(t *testing.T) { w.checkMetrics(t, vm) })
	t.Run("syslog", func(t *testing.T) { w.checkShipped(t, vm) })
	t.Run("log server away", func(t *testing.T) { w.checkLogServerAway(t, vm) })
	t.Run("leases", func(t *testing.T) { w.checkLeases(t, vm) })
	t.Run("upgrade", func(t *testing.T) { w.checkUpgrade(t, vm, tenants) })
}
