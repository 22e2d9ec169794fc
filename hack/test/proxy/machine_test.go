package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/config"
	"egress.scw/cloudinit"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/test/stopwatch"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

const (
	ownPort    = 3129 // the tenant with an address of its own, and a list in Report mode
	sharedPort = 3130 // the tenant with an enforced list
	latePort   = 3131 // added while the machine runs
	openPort   = 3132 // the tenant without a list
	strictPort = 3133 // the tenant with an address of its own, and an enforced list
)

// patience bounds every wait. A boot, the longest of them, takes a minute on an idle
// machine of two cores. It is reached only if there is an error.
const patience = 10 * time.Minute

// keepAuditLog keeps rotated files of the audit log, which later steps read. The
// machine is a folder of this machine's disk, and would remove them if less than a
// fifth of that is free. TestDiskKeepsRoom of cloudinit tests the removal.
func keepAuditLog(t *testing.T, vm *machine.VM) {
	t.Helper()
	const dropIn = "/etc/systemd/system/logrotate.service.d/zz-keep.conf"
	if _, err := vm.Exec(t.Context(), "sh", "-c", `printf '[Service]\nExecStartPre=\n' > `+dropIn+` && systemctl daemon-reload`); err != nil {
		t.Fatal(err)
	}
}

// TestProxy boots the machine that bootstrap creates, and tests the events in a
// proxy's lifetime. The steps build on each other.
func TestProxy(t *testing.T) {
	w := newWorld(t, imageOr(t, machine.Image{Release: machine.Trixie, Network: machine.Networkd}))
	w.logs = receiveLogs(t)
	tenants := everyKind()
	vm := w.boot(t, cloudinit.SourceFlexibleIP, tenants)
	keepAuditLog(t, vm)

	step := func(name string, run func(*testing.T)) {
		if !t.Run(name, run) {
			t.FailNow()
		}
	}
	step("services", func(t *testing.T) { w.checkServices(t, vm) })
	step("addresses", func(t *testing.T) { w.checkAddresses(t, ownAddress, sharedAddress) })
	step("revision", func(t *testing.T) { checkRevisions(t, tenants) })
	step("status", func(t *testing.T) { checkStatus(t, vm, tenants) })
	step("closed", func(t *testing.T) { checkClosed(t, vm) })
	step("audit", func(t *testing.T) { w.checkAudit(t, vm, tenants) })
	step("forbidden", func(t *testing.T) { w.checkForbidden(t, vm, tenants) })
	step("rebinding", func(t *testing.T) { w.checkRebinding(t, vm, tenants) })
	step("firewall", func(t *testing.T) { w.checkFirewall(t, vm, tenants) })
	step("metrics", func(t *testing.T) {
		checkExporters(t, vm)
		w.checkMetrics(t, vm)
	})
	step("syslog", func(t *testing.T) { w.checkShipped(t, vm) })
	step("log server away", func(t *testing.T) { w.checkLogServerAway(t, vm) })
	step("ports", func(t *testing.T) { checkPorts(t, vm) })
	step("connections", func(t *testing.T) { tenants = w.checkConnections(t, vm, tenants) })
	step("many domains", func(t *testing.T) { w.checkManyDomains(t, tenants) })
	step("update", func(t *testing.T) {
		tenants = append(tenants, tenant("client-c", latePort, v1alpha1.EgressIPShared))
		w.checkUpdate(t, tenants)
	})
	step("drain", func(t *testing.T) { w.checkDrain(t, vm, tenants) })
	step("refusal", func(t *testing.T) { w.checkRefusal(t, vm, tenants) })
	step("leases", func(t *testing.T) { w.checkLeases(t, vm) })
	step("upkeep", func(t *testing.T) { w.checkUpkeep(t, vm) })
	step("reboot", func(t *testing.T) {
		before := settledListing(t, vm)
		start := time.Now()
		if err := vm.Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wait(t, vm)
		t.Logf("rebooted in %s", time.Since(start).Round(time.Second/10))
		w.checkServices(t, vm)
		w.checkAddresses(t, ownAddress, sharedAddress)
		checkRevisions(t, tenants)
		eventually(t, "the files of the first boot, and only these, after the second", func() error {
			if diff := cmp.Diff(before, listing(t, vm)); diff != "" {
				return fmt.Errorf("-before +after:\n%s", diff)
			}
			return nil
		})
	})
	step("private default route", func(t *testing.T) { w.checkPrivateDefaultRoute(t, vm) })
	step("handover", func(t *testing.T) { w.checkHandover(t, vm, tenants) })
}

// TestProxyBehindGateway boots the machine whose requests leave through the Public
// Gateway.
func TestProxyBehindGateway(t *testing.T) {
	w := newWorld(t, imageOr(t, machine.Image{Release: machine.Trixie, Network: machine.Dhcpcd}))
	tenants := allShared()
	vm := w.boot(t, cloudinit.SourceGateway, tenants)
	w.checkServices(t, vm)
	w.checkAddresses(t, gatewayPublic, gatewayPublic)
	checkRevisions(t, tenants)
	t.Run("closed", func(t *testing.T) { checkClosed(t, vm) })
	t.Run("forbidden", func(t *testing.T) { w.checkForbidden(t, vm, tenants) })
	t.Run("firewall", func(t *testing.T) { w.checkFirewall(t, vm, tenants) })
	checkPublicNIC(t, vm)
	w.checkLeases(t, vm)
	w.checkTime(t, vm)
}

func tenant(name string, port int32, egress v1alpha1.EgressIP) v1alpha1.Tenant {
	var result v1alpha1.Tenant
	result.Name = name
	result.Path = v1alpha1.PathProxy
	result.Proxy = &v1alpha1.TenantProxy{Port: port, EgressIP: egress}
	return result
}

// everyKind returns tenants in every mode, with and without addresses of their own.
func everyKind() []v1alpha1.Tenant {
	domains := []string{echoName, ".listed.example", ".private.example", ".rebind.example"}
	report, enforce := tenant("client-a", ownPort, v1alpha1.EgressIPDedicated), tenant("client-b", sharedPort, v1alpha1.EgressIPShared)
	report.Allow = &v1alpha1.AllowSpec{Mode: policy.ModeReport, Domains: domains}
	enforce.Allow = &v1alpha1.AllowSpec{Mode: policy.ModeEnforce, Domains: domains}
	open, strict := tenant("client-d", openPort, v1alpha1.EgressIPShared), tenant("client-e", strictPort, v1alpha1.EgressIPDedicated)
	open.Allow = &v1alpha1.AllowSpec{Mode: policy.ModeOpen, Ports: []int32{80, 443, names.StatusPort, ownPort, sharedPort}}
	strict.Allow = &v1alpha1.AllowSpec{Mode: policy.ModeEnforce, Domains: domains, Ports: []int32{80, 443, otherPort}}
	return []v1alpha1.Tenant{report, enforce, open, strict}
}

// allShared returns the same tenants for a machine with one public address.
func allShared() []v1alpha1.Tenant {
	tenants := everyKind()
	for i := range tenants {
		tenants[i].Proxy.EgressIP = v1alpha1.EgressIPShared
	}
	return tenants
}

// squidConf returns the first machine's squid.conf for these tenants, as bootstrap
// renders it.
func squidConf(t *testing.T, egress cloudinit.SourceAddress, tenants []v1alpha1.Tenant) []byte {
	t.Helper()
	return firstServer().squidConf(t, config.ProxyMachine{SourceAddress: egress}, tenants)
}

// encoded returns the value in the user data for a squid.conf.
func encoded(t *testing.T, conf []byte) []byte {
	t.Helper()
	value, err := cloudinit.EncodeSquidConf(conf)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// boot boots the first machine and waits until the proxy works.
func (w *world) boot(t *testing.T, egress cloudinit.SourceAddress, tenants []v1alpha1.Tenant) *machine.VM {
	t.Helper()
	start := time.Now()
	vm := w.powerOn(t, w.servers[0], egress, tenants)
	w.wait(t, vm)
	t.Logf("booted in %s", time.Since(start).Round(time.Second/10))
	return vm
}

// journal returns the end of the journal of the proxy's own units, for failures.
func journal(config machine.Config) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	vm, err := machine.Open(ctx, config)
	if err != nil {
		return err.Error()
	}
	out, err := vm.Exec(ctx, "journalctl", "--no-pager", "--lines=60", "--unit=egress-*", "--unit=squid", "--unit=nftables", "--unit=networking", "--unit=systemd-networkd")
	if err != nil {
		return err.Error()
	}
	return out
}

// wait waits for the end of a boot.
func (w *world) wait(t *testing.T, vm *machine.VM) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := vm.Wait(ctx); err != nil {
		t.Fatal(err)
	}
}

func in(t *testing.T, vm *machine.VM, argv ...string) string {
	t.Helper()
	out, err := vm.Exec(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func (w *world) checkServices(t *testing.T, vm *machine.VM) {
	t.Helper()
	for _, unit := range []string{"squid", "nftables", "egress-net.timer", "egress-sync.timer", "egress-poll.timer", "mtail", "prometheus-node-exporter", "prometheus-squid-exporter"} {
		// One unit per call: given several, systemctl succeeds if one
		// of them is active.
		eventually(t, unit, func() error {
			_, err := vm.Exec(t.Context(), "systemctl", "is-active", unit)
			return err
		})
	}
	// A timer starts its unit again, which may fail once because a busy machine was late.
	eventually(t, "units without a failure", func() error {
		failed, err := vm.Exec(t.Context(), "systemctl", "list-units", "--failed", "--plain", "--no-legend")
		if err == nil && failed != "" {
			err = errors.New(failed)
		}
		return err
	})
	// The DHCP clients outlive the script that starts them, and addresses
	// outlive their leases.
	eventually(t, "the end of the set-up", func() error {
		_, err := vm.Exec(t.Context(), "sh", "-c", "[ $(systemctl show --property=ActiveState --value egress-setup) = inactive ]")
		return err
	})
	for _, nic := range []string{"ens2", "ens5"} {
		w.dhcpClient(t, vm, nic)
	}
}

// checkAddresses compares the source addresses that the origin sees for the two
// tenants.
func (w *world) checkAddresses(t *testing.T, own, shared string) {
	t.Helper()
	for port, want := range map[int]string{ownPort: own, sharedPort: shared} {
		eventually(t, fmt.Sprintf("port %d", port), func() error {
			got, err := get(t.Context(), port, "http://"+echoName+"/ip")
			if err == nil && (got.status != http.StatusOK || got.origin != want) {
				err = fmt.Errorf("GET: %+v, want the origin %s", got, want)
			}
			return err
		})
		tunnel, err := w.tunnel(t.Context(), port)
		if err != nil {
			t.Fatalf("port %d: %v", port, err)
		}
		got, err := tunnel.ask(http.MethodGet, "/ip", echoName)
		if err != nil || got.origin != want {
			t.Errorf("port %d, in a tunnel: %+v, %v, want the origin %s", port, got, err, want)
		}
		tunnel.Close()
	}
}

func checkRevisions(t *testing.T, tenants []v1alpha1.Tenant) {
	t.Helper()
	for _, tenant := range tenants {
		got, err := get(t.Context(), int(tenant.Proxy.Port), "http://10.0.0.1/")
		if err != nil || got.status != http.StatusForbidden || got.revision != tenant.Revision() {
			t.Errorf("%s: %+v, %v, want 403 of revision %s", tenant.Name, got, err, tenant.Revision())
		}
	}
}

// closedPort is a port of the machine, and a client that must not reach it.
type closedPort struct{ from, to string }

// checkClosed tries ports that must be closed, although a server listens there.
// The control: without the firewall they are open.
func checkClosed(t *testing.T, vm *machine.VM) {
	t.Helper()
	ports := []closedPort{
		{netnsInternet, sharedAddress + ":3129"},
		{netnsInternet, sharedAddress + ":22"},
		{netnsNode, proxyAddress + ":22"},
		{netnsInternet, sharedAddress + ":3128"},
		{netnsInternet, sharedAddress + ":3903"},
		{netnsInternet, sharedAddress + ":9100"},
		{netnsInternet, sharedAddress + ":9301"},
	}
	for _, port := range ports {
		if !listens(t, vm, port.to) {
			listen(t, vm.Within, port.to, new(atomic.Int64))
		}
	}
	tryAll(t, ports, func(port closedPort, err error) {
		if err == nil {
			t.Errorf("%s is open to %s", port.to, port.from)
		}
	})

	in(t, vm, "nft", "insert", "rule", "inet", "egress", "input", "accept")
	in(t, vm, "nft", "flush", "chain", "inet", "egress", "output") // answers must come back
	tryAll(t, ports, func(port closedPort, err error) {
		if err != nil {
			t.Errorf("%s is closed to %s even without the firewall, so the test has no control: %v", port.to, port.from, err)
		}
	})
	in(t, vm, "systemctl", "reload", "nftables")
}

// listens reports whether a server listens on a port of the machine.
func listens(t *testing.T, vm *machine.VM, address string) bool {
	t.Helper()
	return vm.Within(func() error {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	}) == nil
}

// tryAll connects to all of them at once.
func tryAll(t *testing.T, ports []closedPort, look func(closedPort, error)) {
	t.Helper()
	var tries sync.WaitGroup
	for _, port := range ports {
		tries.Go(func() {
			conn, err := dial(t.Context(), port.from, port.to)
			if err == nil {
				conn.Close()
			}
			look(port, err)
		})
	}
	tries.Wait()
}

// checkUpdate publishes a new squid.conf, which must be live within 20 seconds,
// while a tunnel stays open.
func (w *world) checkUpdate(t *testing.T, tenants []v1alpha1.Tenant) {
	tunnel, err := w.tunnel(t.Context(), ownPort)
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.Close()
	// The origin would close a connection without a request.
	if _, err := tunnel.ask(http.MethodGet, "/ip", echoName); err != nil {
		t.Fatal(err)
	}
	const promised = 20 * time.Second
	watch := stopwatch.Start()
	w.setSquidConf(encoded(t, squidConf(t, cloudinit.SourceFlexibleIP, tenants)))
	eventually(t, "new tenant", func() error {
		_, err := get(t.Context(), latePort, "http://"+echoName+"/ip")
		return err
	})
	elapsed := watch.Elapsed()
	t.Logf("live after %s", elapsed.Round(time.Second/10))
	if elapsed > promised {
		t.Errorf("live after %s, want at most %s", elapsed, promised)
	}
	checkRevisions(t, tenants)
	if err := tunnel.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if got, err := tunnel.ask(http.MethodGet, "/ip", echoName); err != nil || got.origin != ownAddress {
		t.Errorf("the tunnel has not survived: %+v, %v", got, err)
	}
}

// checkRefusal publishes values that must be refused: the old squid.conf stays
// in use, and the journal contains the reason.
func (w *world) checkRefusal(t *testing.T, vm *machine.VM, tenants []v1alpha1.Tenant) {
	good := w.servers[0].machine().UserData[cloudinit.UserDataSquidConf]
	sum := in(t, vm, "sha256sum", "/etc/squid/squid.conf")
	for name, bad := range map[string]struct {
		value []byte
		why   string
	}{
		"unknown directive": {encoded(t, append(squidConf(t, cloudinit.SourceFlexibleIP, tenants), "no_such_directive on\n"...)), "no_such_directive"},
		"cut short":         {good[:len(good)/2], "not base64 of gzip, or truncated"},
	} {
		since := "@" + in(t, vm, "date", "+%s")
		w.setSquidConf(bad.value)
		eventually(t, name, func() error {
			in(t, vm, "systemctl", "start", "egress-sync.service") // the timer would start it, too; an earlier step has tested that
			journal, err := vm.Exec(t.Context(), "journalctl", "--unit=egress-sync", "--priority=warning", "--since="+since, "--output=cat")
			if err == nil && (!strings.Contains(journal, "refused") || !strings.Contains(journal, bad.why)) {
				err = fmt.Errorf("the journal contains: %q", journal)
			}
			return err
		})
		if now := in(t, vm, "sha256sum", "/etc/squid/squid.conf"); now != sum {
			t.Errorf("%s: squid.conf has changed", name)
		}
		checkRefusalShows(t, 1)
		checkRevisions(t, tenants)
	}
	w.setSquidConf(good)
	checkRefusalShows(t, 0)
}

// checkPrivateDefaultRoute makes the private NIC's router the machine's default
// route, as a gateway that advertises a default route may do. First, all requests
// must still leave from flexible addresses. The control: without the routing rules
// that ensure this, the requests go to the gateway.
func (w *world) checkPrivateDefaultRoute(t *testing.T, vm *machine.VM) {
	if strays := counter(t, netnsGateway, "strays", "stray"); strays != "0" {
		t.Errorf("%s packets of flexible addresses have come to the gateway", strays)
	}
	private := in(t, vm, "sh", "-c", ". /etc/egress/nics.conf; echo $PRIVATE_NIC")
	in(t, vm, "systemctl", "stop", "egress-net.timer", "egress-sync.timer", "egress-poll.timer")
	// A run that a timer has started may still go on, and repair the routes.
	in(t, vm, "systemctl", "start", "egress-sync.service", "egress-net.service")
	in(t, vm, "ip", "route", "replace", "default", "via", gatewayPrivate, "dev", private)
	in(t, vm, "sh", "-c", "while ip route del default dev ens2; do :; done 2> /dev/null")
	w.checkAddresses(t, ownAddress, sharedAddress)
	if strays := counter(t, netnsGateway, "strays", "stray"); strays != "0" {
		t.Errorf("%s packets of flexible addresses have come to the gateway, in spite of the rules", strays)
	}

	in(t, vm, "nft", "flush", "chain", "inet", "egress", "output")
	in(t, vm, "sh", "-c", "while ip rule del priority 1000; do :; done 2> /dev/null")
	if got, err := get(t.Context(), ownPort, "http://"+echoAddress+"/ip"); err == nil && got.origin == ownAddress {
		t.Errorf("without the rules it leaves by %s all the same", got.origin)
	}
	if counter(t, netnsGateway, "strays", "stray") == "0" {
		t.Error("without the rules no packet has reached the gateway, so the test has no control")
	}

	in(t, vm, "systemctl", "reload", "nftables")
	in(t, vm, "systemctl", "start", "egress-net.service", "egress-net.timer", "egress-sync.timer", "egress-poll.timer")
	w.checkAddresses(t, ownAddress, sharedAddress)
}

func counter(t *testing.T, netns, table, name string) string {
	t.Helper()
	fields := strings.Fields(execute(t, "", "ip", "netns", "exec", netns, "nft", "list", "counter", "ip", table, name))
	for i, field := range fields {
		if field == "packets" {
			return fields[i+1]
		}
	}
	t.Fatalf("no counter %s: %q", name, fields)
	return ""
}

// listing returns the path and the hash of every file of /etc and /usr/local.
func listing(t *testing.T, vm *machine.VM) []string {
	t.Helper()
	files := in(t, vm, "sh", "-c", "find /etc /usr/local -type f -exec sha256sum {} + | sort -k 2; find /etc /usr/local -type l -printf '%p -> %l\n' | sort")
	return strings.Split(files, "\n")
}

// settledListing returns the listing at a moment at which the machine writes no file.
func settledListing(t *testing.T, vm *machine.VM) []string {
	t.Helper()
	var files []string
	eventually(t, "a listing without a file that is being written", func() error {
		files = listing(t, vm)
		if i := slices.IndexFunc(files, func(f string) bool { return strings.HasSuffix(f, ".next") }); i >= 0 {
			return errors.New(files[i])
		}
		return nil
	})
	return files
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %s: %v", what, patience, err)
		}
	}
}
