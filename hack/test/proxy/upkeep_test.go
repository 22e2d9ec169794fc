package proxy

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/machine"
	"egress.scw/webhook/api/names"
)

// checkUpkeep checks the machine's unattended maintenance.
func (w *world) checkUpkeep(t *testing.T, vm *machine.VM) {
	w.checkTime(t, vm)
	for unit, want := range map[string]string{
		"apt-daily.timer":         "no",
		"apt-daily-upgrade.timer": "no",
		"logrotate.timer":         "no",
	} {
		if got := in(t, vm, "systemctl", "show", "--property=Persistent", "--value", unit); got != want {
			t.Errorf("%s is persistent: %s, want %s", unit, got, want)
		}
	}
	checkRotation(t, vm)
	metrics := scrape(t)
	if free, size := metrics[names.MetricDiskFree], metrics[names.MetricDiskSize]; free <= 0 || size < free {
		t.Errorf("%g bytes of the disk are free, of %g", free, size)
	}
	w.checkRestarts(t, vm)
}

// checkTime: an NTP client is installed, and its user can reach a server. The
// client does not run here: this machine uses the clock of its host.
func (w *world) checkTime(t *testing.T, vm *machine.VM) {
	t.Helper()
	if got := in(t, vm, "systemctl", "is-enabled", "systemd-timesyncd.service"); got != "enabled" {
		t.Errorf("systemd-timesyncd is %s", got)
	}
	if got := in(t, vm, "cat", "/etc/timezone"); got != "Etc/UTC" {
		t.Errorf("the time zone is %s", got)
	}
	var server net.PacketConn
	if err := machine.Within(netnsInternet, func() (err error) {
		server, err = new(net.ListenConfig).ListenPacket(t.Context(), "udp", packageServer+":123")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() { // Ends with the server.
		question := make([]byte, 100)
		for {
			n, from, err := server.ReadFrom(question)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(question[:n], from)
		}
	}()
	const ask = "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(60); s.sendto(b'time', (sys.argv[1], 123)); print(s.recv(100).decode())"
	if got := in(t, vm, "setpriv", "--reuid=systemd-timesync", "--clear-groups", "python3", "-c", ask, packageServer); got != "time" {
		t.Errorf("a server of time answers %q", got)
	}
}

// checkRotation rotates the audit log with the machine's own unit, which has
// fewer rights than root. Readers continue, and the unit's wait for Squid
// succeeds.
func checkRotation(t *testing.T, vm *machine.VM) {
	t.Helper()
	// The timer starts the same unit every minute: a start of it while that run is under way
	// would wait for its end, and rotate nothing.
	in(t, vm, "systemctl", "stop", "logrotate.timer")
	defer in(t, vm, "systemctl", "start", "logrotate.timer")
	in(t, vm, "systemctl", "start", "logrotate.service")
	const override = "/run/systemd/system/logrotate.service.d"
	in(t, vm, "sh", "-ec", "mkdir -p "+override+"; printf '[Service]\nExecStart=\nExecStart=/usr/sbin/logrotate --force /etc/logrotate.d/squid\n' > "+override+"/force.conf; systemctl daemon-reload")
	defer in(t, vm, "sh", "-ec", "rm -r "+override+"; systemctl daemon-reload")
	since, before := "@"+in(t, vm, "date", "+%s"), in(t, vm, "stat", "-c", "%i", cloudinit.AuditLog)
	in(t, vm, "systemctl", "start", "logrotate.service")
	if after := in(t, vm, "stat", "-c", "%i", cloudinit.AuditLog); after == before {
		t.Error("the audit log has not been rotated")
	}
	if output := in(t, vm, "journalctl", "--unit=logrotate", "--since="+since, "--priority=warning", "--output=cat"); output != "" {
		t.Errorf("logrotate warns: %q", output)
	}
	for _, unit := range []string{"mtail", "egress-syslog"} {
		state := in(t, vm, "sh", "-c", "ps -o stat= -p $(systemctl show --property=MainPID --value "+unit+")")
		if strings.HasPrefix(state, "T") {
			t.Errorf("%s is still stopped", unit)
		}
	}
}

// checkRestarts replaces the C library, which nearly all programs have loaded. A
// metric reports that Squid runs with the former one, until needrestart has restarted
// it. The NICs keep their DHCP clients, and the machine its routes.
func (w *world) checkRestarts(t *testing.T, vm *machine.VM) {
	t.Helper()
	defer repairNothing(t, vm)()
	squid := func() string { return in(t, vm, "systemctl", "show", "--property=MainPID", "--value", "squid") }
	clients := func() string { return w.dhcpClient(t, vm, "ens2") + ", " + w.dhcpClient(t, vm, "ens5") }
	oldSquid, oldClients := squid(), clients()
	oldRouting, oldServers := settledNetwork(t, vm)
	checkOutdated(t, vm, 0)
	in(t, vm, "sh", "-ec", `library=$(readlink -f /lib/x86_64-linux-gnu/libc.so.6); cp -p "$library" "$library.new"; mv "$library.new" "$library"`)
	checkOutdated(t, vm, 1)
	start := time.Now()
	output := in(t, vm, "sh", "-ec", "mkdir -p /run/needrestart; touch /run/needrestart/unpacked; exec /usr/lib/needrestart/apt-pinvoke < /dev/null 2>&1")
	t.Logf("needrestart took %s; its output:\n%s", time.Since(start).Round(time.Second/10), output)
	if squid() == oldSquid {
		t.Error("Squid has not been restarted")
	}
	if now := clients(); now != oldClients {
		t.Errorf("DHCP clients were %q and are %q", oldClients, now)
	}
	if diff := cmp.Diff(oldRouting, routing(t, vm)); diff != "" {
		t.Errorf("routes and rules, -before the restarts +after:\n%s", diff)
	}
	checkNameServersReturn(t, vm, oldServers)
	checkOutdated(t, vm, 0)
	w.checkServices(t, vm)
	eventually(t, "Squid", func() error {
		got, err := get(t.Context(), ownPort, "http://"+echoName+"/ip")
		if err == nil && got.status != 200 {
			err = errors.New(fmt.Sprint(got))
		}
		return err
	})
}

// checkOutdated: the machine reports whether Squid runs from a replaced file.
func checkOutdated(t *testing.T, vm *machine.VM, want float64) {
	t.Helper()
	eventually(t, names.MetricSquidOutdated, func() error {
		in(t, vm, "systemctl", "start", "egress-sync.service") // its timer starts it too
		if got, ok := scrape(t)[names.MetricSquidOutdated]; !ok || got != want {
			return fmt.Errorf("it is %g, exported: %t; want %g", got, ok, want)
		}
		return nil
	})
}
