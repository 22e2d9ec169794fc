package cloudinit

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"egress.scw/webhook/api/names"
)

// firewall installs an nft that keeps two sets of the firewall in files: the open
// ports, and the released ones.
func (s syncing) firewall() {
	s.program("nft", `cd `+s.dir+`
case "$*" in
"list set inet egress tenant_connections_refused") cat refused-connections 2> /dev/null ;;
"list set inet egress released_ports") cat released 2> /dev/null || true ;;
"add element inet egress closed_status "*) echo closed > status ;;
"flush set inet egress closed_status") rm -f status ;;
"add element inet egress reopened_ports "* | "add element inet egress closing_ports "*) echo "$6" > "${5%_ports}" ;;
"flush set inet egress reopened_ports" | "flush set inet egress closing_ports") set=${5%_ports} && rm -f "$set" ;;
"-f -")
  while read -r verb set family table name; do
    case "$verb $set" in
    "flush set") rm -f "${name%_ports}" ;;
    "include "*) sed -n 's/.*{ \(.*\) }/\1/p' "$(tr -d '"' <<< "$set")" > open ;;
    *) exit 1 ;;
    esac
  done ;;
*) exit 1 ;;
esac`)
}

// open returns the ports that the firewall admits clients to.
func (s syncing) open() string {
	content, err := os.ReadFile(s.path("open"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(content))
}

// release is what the cluster does when no NetworkPolicy admits pods to a port.
func (s syncing) release(port string) {
	number, err := strconv.Atoi(port)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("released", fmt.Sprintf("elements = { %d timeout 30s expires 29s }\n", number+names.ReleaseOffset))
}

// served returns a squid.conf in which these ports serve these tenants, each with a
// revision of its own.
func served(tenants map[string]string) string {
	text := "http_port 127.0.0.1:3128 name=manager_port\n"
	for port, tenant := range tenants {
		text += fmt.Sprintf("# serves %s %[2]s-1 %[2]s\nhttp_port 127.0.0.1:%[1]s name=%[2]s\n", port, tenant)
	}
	return text
}

func sorted(ports ...string) string {
	slices.Sort(ports)
	return strings.Join(ports, ",")
}

// TestSwappedPortsAreClosed: two tenants swap their ports. Both ports are closed, and
// their connections ended, before Squid reads the new file. Each opens for its new
// tenant when the cluster has released it, and not while a connection of its former
// tenant is open.
func TestSwappedPortsAreClosed(t *testing.T) {
	s := newSyncing(t, "")
	ports := s.listen(3, 0)
	a, b, c := ports[0], ports[1], ports[2]
	s.publish(served(map[string]string{a: "client-a", b: "client-b", c: "client-c"}))
	if output, _ := s.sync(); s.open() != sorted(a, b, c) {
		t.Fatalf("at first, ports %q are open, want %q: %s", s.open(), sorted(a, b, c), output)
	}

	// A release of before, for example of a cluster that has no pods yet.
	s.release(a)
	s.program("systemctl", `[ "$1" = kill ] || exit 0`, "cp "+s.path("open")+" "+s.path("open-then"), "cp "+s.path("calls")+" "+s.path("calls-then"),
		"cd "+s.dir, `cp .`+liveConf+` serving`)
	s.publish(served(map[string]string{a: "client-b", b: "client-a", c: "client-c"}))
	output, _ := s.sync()
	for _, want := range []string{
		"port " + a + " is closed: it was the port of client-a, and becomes that of client-b once the cluster has released it",
		"port " + b + " is closed: it was the port of client-b, and becomes that of client-a once the cluster has released it",
		"squid.conf is live",
	} {
		if !strings.Contains(output, want) {
			t.Errorf("it prints %q, without %q", output, want)
		}
	}
	if then := strings.TrimSpace(s.read("open-then")); then != c {
		t.Errorf("when Squid read the file, ports %q were open, want %q", then, c)
	}
	for _, port := range []string{a, b} {
		if calls := s.read("calls-then"); !strings.Contains(calls, "ss --kill --no-header --tcp --numeric state connected sport = :"+port+"\n") {
			t.Errorf("before Squid read the file, the connections of port %s were not ended: %s", port, calls)
		}
	}
	for range 3 {
		if s.sync(); s.open() != c {
			t.Fatalf("without a release, ports %q are open, want %q", s.open(), c)
		}
	}
	closed := s.exported(names.MetricPortClosed)
	if closed[names.MetricPortClosed+`{tenant="client-a"}`] != "1" || closed[names.MetricPortClosed+`{tenant="client-c"}`] != "0" {
		t.Errorf("metrics: %v", closed)
	}

	s.release(a)
	s.write("connected", "ESTAB 0 0 127.0.0.1:"+a+" 127.0.0.1:40000\n")
	if s.sync(); s.open() != c {
		t.Errorf("with a connection of before, ports %q are open, want %q", s.open(), c)
	}
	s.write("connected", "")
	if output, _ := s.sync(); s.open() != sorted(a, c) || !strings.Contains(output, "port "+a+" passes from client-a to client-b") {
		t.Errorf("after the release of %s, ports %q are open: %s", a, s.open(), output)
	}
	s.write("silent", "") // a release counts also while no value can be fetched
	s.release(b)
	if s.sync(); s.open() != sorted(a, b, c) {
		t.Errorf("after both releases, ports %q are open", s.open())
	}
	if closed := s.exported(names.MetricPortClosed); closed[names.MetricPortClosed+`{tenant="client-a"}`] != "0" {
		t.Errorf("metrics: %v", closed)
	}
}

// TestFreedPortRemembersItsTenant: the port of a tenant that is gone is closed. It
// opens at once for the same tenant, and for another one only after a release.
func TestFreedPortRemembersItsTenant(t *testing.T) {
	s := newSyncing(t, "")
	ports := s.listen(2, 0)
	a, b := ports[0], ports[1]
	for _, step := range []struct {
		name    string
		tenants map[string]string
		release bool
		want    string
	}{
		{"two tenants", map[string]string{a: "client-a", b: "client-b"}, false, sorted(a, b)},
		{"one is gone", map[string]string{b: "client-b"}, false, b},
		{"it is back", map[string]string{a: "client-a", b: "client-b"}, false, sorted(a, b)},
		{"it is gone again", map[string]string{b: "client-b"}, false, b},
		{"another tenant has its port", map[string]string{a: "client-c", b: "client-b"}, false, b},
		{"a third one has it", map[string]string{a: "client-d", b: "client-b"}, false, b},
		{"and releases it", nil, true, sorted(a, b)},
		{"the first one comes back", map[string]string{a: "client-a", b: "client-b"}, false, b},
	} {
		if step.tenants != nil {
			s.publish(served(step.tenants))
		}
		if step.release {
			s.release(a)
		}
		output, _ := s.sync()
		if s.open() != step.want {
			t.Errorf("%s: ports %q are open, want %q: %s", step.name, s.open(), step.want, output)
		}
	}
}

// TestTenantsAreComparedAsTexts: the port of the tenant 07 is not that of the tenant 7.
func TestTenantsAreComparedAsTexts(t *testing.T) {
	s := newSyncing(t, "")
	s.write(holders, "3129 07\n3130 1e2\n")
	s.write(openPorts, "add element inet egress open_ports { 3129,3130 }\n")
	s.write(liveConf, "# serves 3129 r1 7\n# serves 3130 r1 1e2\n")
	s.write(scriptFolder+"/check", `set -euo pipefail
. "$EGRESS_ROOT/usr/local/lib/egress/common.sh"
. "$root/usr/local/lib/egress/ports.sh"
foreign "$root/etc/squid/squid.conf"
own "$root/etc/squid/squid.conf"
if is_settled "$root/etc/squid/squid.conf"; then echo settled; fi
port_states "$root/etc/squid/squid.conf"
`)
	if got, want := s.run("check"), "3129 7 07\n3130\n7 0 1\n1e2 0 0\n"; got != want {
		t.Errorf("the ports are\n%swant\n%s", got, want)
	}
}

// TestRestoredConfigurationOpensItsPorts: a file that Squid does not serve is replaced
// by the one of before, whose ports open again without a release.
func TestRestoredConfigurationOpensItsPorts(t *testing.T) {
	s := newSyncing(t, patient)
	ports := s.listen(2, 0)
	s.publish(served(map[string]string{ports[0]: "client-a", ports[1]: "client-b"}))
	s.sync()
	s.patience = impatient
	s.publish(served(map[string]string{ports[0]: "client-b", ports[1]: "client-a"}) + "# unserved\n")
	if output, _ := s.sync(); !strings.Contains(output, "Squid does not serve it") || s.open() != sorted(ports...) {
		t.Errorf("ports %q are open, want %q: %s", s.open(), sorted(ports...), output)
	}
}

// TestOpenPortsSurviveAReload: the file that nftables.service reads contains the ports
// that are open.
func TestOpenPortsSurviveAReload(t *testing.T) {
	s := newSyncing(t, "")
	ports := s.listen(2, 0)
	s.publish(conf(ports, "a1", ""))
	s.sync()
	if got, want := s.read(openPorts), "add element inet egress open_ports { "+sorted(ports...)+" }\n"; got != want {
		t.Errorf("%s: %q, want %q", openPorts, got, want)
	}
}

// TestConnectionsAreHeld: from the reconfiguration until Squid serves the new file, new
// connections to its ports are not refused. Before it begins, no further ones are
// admitted, and Squid has accepted all others.
func TestConnectionsAreHeld(t *testing.T) {
	s := newSyncing(t, patient)
	s.program("systemctl", "cd "+s.dir, `[ "$1" = kill ] || exit 0
cp reopened held
cp closing held-before
cp queued held-queue
cp .`+liveConf+` serving`)
	// One connection waits to be accepted when this is first asked.
	s.program("ss", "cd "+s.dir, `case "$*" in *--listening*) ;; *) exit 0 ;; esac
grep -q closing calls || exit 1
cat queued
echo "LISTEN 0 4096 127.0.0.1:3129 0.0.0.0:*" > queued`)
	s.write("queued", "LISTEN 1 4096 127.0.0.1:3129 0.0.0.0:*\n")
	ports := s.listen(2, 0)
	s.publish(conf(ports, "a1", ""))
	if output, _ := s.sync(); !strings.Contains(output, "squid.conf is live") {
		t.Fatal(output)
	}
	if got, want := strings.TrimSpace(s.read("held")), fmt.Sprintf("{ %s timeout 5s,%s timeout 5s }", ports[0], ports[1]); got != want {
		t.Errorf("held while Squid rereads its file: %s, want %s", got, want)
	}
	if got, want := strings.TrimSpace(s.read("held-before")), fmt.Sprintf("{ %s timeout 1s,%s timeout 1s }", ports[0], ports[1]); got != want {
		t.Errorf("not admitted before Squid closes its ports: %s, want %s", got, want)
	}
	if got := s.read("held-queue"); !strings.HasPrefix(got, "LISTEN 0 ") {
		t.Errorf("connections that Squid had not accepted: %s", got)
	}
	for _, set := range []string{"reopened", "closing"} {
		if _, err := os.Stat(s.path(set)); !os.IsNotExist(err) {
			t.Errorf("connections are held when Squid serves the file: %s: %v", set, err)
		}
	}
}

// TestStateIsClosedBeforeThePorts: when Squid starts for the first time, it would tell the
// cluster that it serves the tenants, whose ports the firewall opens a moment later.
func TestStateIsClosedBeforeThePorts(t *testing.T) {
	s := newSyncing(t, "")
	s.program("systemctl", "cd "+s.dir, `case "$*" in
"--quiet is-active squid.service") [ -e started ] ;;
"start squid.service") touch started; [ ! -e status ] || cp status status-at-start; cp .`+liveConf+` serving ;;
esac`)
	s.publish(served(map[string]string{s.listen(1, 0)[0]: "client-a"}))
	if output, _ := s.sync(); !strings.Contains(output, "squid.conf is live") {
		t.Fatal(output)
	}
	if _, err := os.Stat(s.path("status-at-start")); err != nil {
		t.Error("the port for the state is open when Squid starts")
	}
	if _, err := os.Stat(s.path("status")); err == nil || s.open() == "" {
		t.Errorf("the port for the state is still closed; the open ports are %q", s.open())
	}
}
