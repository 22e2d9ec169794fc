package cloudinit

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestSetupNeedsNoPackageBeforeItIsInstalled runs egress-setup with programs that only
// record their calls. Programs that need curl, which the image may lack, run after the
// packages are installed. With SourceGateway, the egress path for the download of
// packages is created before the installation.
func TestSetupNeedsNoPackageBeforeItIsInstalled(t *testing.T) {
	for source, want := range map[SourceAddress][]string{
		SourceFlexibleIP: {"egress-nics", "ifup ens5", "apt-get install", "systemctl start egress-net.service", "systemctl start egress-sync.service"},
		SourceGateway:    {"egress-nics", "egress-net", "ifup ens5", "apt-get install", "systemctl start egress-net.service", "systemctl start egress-sync.service"},
	} {
		t.Run(string(source), func(t *testing.T) {
			machine := validMachine()
			machine.SourceAddress = source
			root, err := runSetup(t, machine, "")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, call := range root.calls() {
				call = strings.TrimSpace(call)
				if strings.HasPrefix(call, "apt-get") && strings.HasSuffix(call, " "+strings.Join(machine.packages(), " ")) {
					call = "apt-get install"
				}
				if slices.Contains(want, call) || strings.HasPrefix(call, "egress-net") {
					got = append(got, call)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("the relevant calls are %q, want %q; all calls:\n%s", got, want, strings.Join(root.calls(), "\n"))
			}
		})
	}
}

// TestSetupReadsUnitsOnce: scripts of packages change files only, so that they start no
// server and do not make systemd read all units. The servers that need no file of this
// machine are started afterwards.
func TestSetupReadsUnitsOnce(t *testing.T) {
	root := newSetup(t, validMachine(), "")
	root.program("apt-get", `[ "${SYSTEMD_OFFLINE:-}" = 1 ] || exit 1`)
	root.program("systemctl", `[ "${SYSTEMD_OFFLINE:-}" = "$([ "$1" != enable ] || echo 1)" ] || exit 1`)
	root.write("/usr/sbin/ifup", "")
	root.run("egress-setup")
	calls := root.calls()
	installed := slices.IndexFunc(calls, func(call string) bool {
		return strings.HasPrefix(call, "apt-get") && strings.HasSuffix(call, " "+strings.Join(Packages(), " "))
	})
	want := []string{"systemctl daemon-reload", "systemctl start logrotate.timer systemd-timesyncd.service unattended-upgrades.service"}
	if got := slices.DeleteFunc(calls[installed+1:], func(call string) bool { return !slices.Contains(want, call) }); installed < 0 || !slices.Equal(got, want) {
		t.Errorf("after the packages it calls %q, want %q; all calls:\n%s", got, want, strings.Join(root.calls(), "\n"))
	}
}

// TestSetupStopsRemovedServers: a server whose package was removed in favour of another one
// does not run on.
func TestSetupStopsRemovedServers(t *testing.T) {
	root := newSetup(t, validMachine(), "")
	root.program("systemctl", `[ "$1" != list-units ] || printf '%s\n' 'chrony.service not-found active running chrony.service' 'old.service not-found inactive dead old.service'`)
	root.write("/usr/sbin/ifup", "")
	root.run("egress-setup")
	calls := root.calls()
	stop, start := slices.Index(calls, "systemctl stop chrony.service"), slices.Index(calls, "systemctl start logrotate.timer systemd-timesyncd.service unattended-upgrades.service")
	if stop < 0 || start < stop || slices.ContainsFunc(calls, func(call string) bool { return strings.Contains(call, "old.service") }) {
		t.Errorf("all calls:\n%s", strings.Join(calls, "\n"))
	}
}

// TestSetupFailsUntilEverythingRuns: if any part does not start, the machine does not
// count as set up, and the setup fails, so that it is retried.
func TestSetupFailsUntilEverythingRuns(t *testing.T) {
	syslog := validMachine()
	syslog.Syslog = &Syslog{Host: "logs.example", Port: 6514}
	for _, test := range []struct {
		name    string
		machine Machine
		failing string // the end of a call
		fails   bool
	}{
		{"everything runs", validMachine(), "", false},
		{"no firewall", validMachine(), "is-active nftables.service", true},
		{"no updates of the configuration", validMachine(), "is-active egress-sync.timer", true},
		{"no quick updates of the configuration", validMachine(), "is-active egress-poll.timer", true},
		{"no checks of the routes", validMachine(), "is-active egress-net.timer", true},
		{"no metrics of tenants", validMachine(), "is-active mtail.service", true},
		{"no metrics of the machine", validMachine(), "is-active prometheus-node-exporter.service", true},
		{"no metrics of Squid", validMachine(), "is-active prometheus-squid-exporter.service", true},
		{"no forwarding of the audit log", syslog, "is-active egress-syslog.service", true},
		{"no packages", validMachine(), " " + strings.Join(Packages(), " "), true},
		{"packages without dependencies, which apt repairs", validMachine(), "dpkg --force-confdef --force-confold --configure -a", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			root, err := runSetup(t, test.machine, test.failing)
			_, notReady := os.Stat(root.path(readyFile))
			if (err != nil) != test.fails || (notReady != nil) != test.fails {
				t.Errorf("it ends with %v, ready: %v; calls:\n%s", err, notReady == nil, strings.Join(root.calls(), "\n"))
			}
		})
	}
}

// runSetup runs egress-setup with programs that only record their calls. Calls that
// end with failing fail. Empty: all calls succeed.
func runSetup(t *testing.T, machine Machine, failing string) (*machineRoot, error) {
	t.Helper()
	root := newSetup(t, machine, failing)
	root.write("/usr/sbin/ifup", "")
	output, err := root.command("egress-setup").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, output)
	}
	return root, err
}

// newSetup returns a machine whose programs only record their calls.
func newSetup(t *testing.T, machine Machine, failing string) *machineRoot {
	t.Helper()
	root := newMachineRoot(t, machine)
	root.write("/etc/egress/nics.conf", "PUBLIC_NIC=ens2\nPRIVATE_NIC=ens5\n")
	fail := ":"
	if failing != "" {
		fail = fmt.Sprintf(`[[ "${0##*/} $*" != *%q ]] || exit 1`, failing)
	}
	for _, name := range []string{
		"apt-get", "cp", "curl", "dpkg", "egress-certificate", "egress-net", "egress-nics", "ln", "modprobe", "nft", "sleep", "sync", "systemctl",
	} {
		root.program(name, fail)
	}
	root.write("/lib/systemd/systemd-sysctl", "#!/bin/sh\n")
	// The private NIC has its address once it is up.
	root.program("ifup", "touch "+root.path("/up"))
	root.write("/bin/ip", "#!/bin/sh\n[ ! -e "+root.path("/up")+" ] || echo '2: ens5 inet 172.16.28.8/22'\n")
	return root
}

// TestSetupWithoutIfupdown: on an image without ifupdown, networkd brings the private
// NIC up, and the setup waits for its address.
func TestSetupWithoutIfupdown(t *testing.T) {
	root := newSetup(t, validMachine(), "")
	root.program("sleep", "touch "+root.path("/up")) // meanwhile the NIC gets its address
	root.run("egress-setup")
	if calls := root.calls(); slices.ContainsFunc(calls, func(call string) bool { return strings.HasPrefix(call, "ifup") }) || !slices.Contains(calls, "sleep 1") {
		t.Errorf("it calls ifup, or does not wait; all calls:\n%s", strings.Join(calls, "\n"))
	}
}
