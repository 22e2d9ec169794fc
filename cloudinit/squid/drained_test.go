package squid

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// TestDrained: two lines of every rendered file differ, and the tenants do not.
func TestDrained(t *testing.T) {
	t.Parallel()
	for _, file := range casesIn(t) {
		conf, err := os.ReadFile(goldenOf(file))
		if err != nil {
			t.Fatal(err)
		}
		drained, err := Drained(conf)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		before, after := strings.Split(string(conf), "\n"), strings.Split(string(drained), "\n")
		var changed []string
		for i := range before {
			if before[i] != after[i] {
				changed = append(changed, after[i])
			}
		}
		if len(before) != len(after) || len(changed) != 2 || !strings.HasPrefix(changed[0], "http_port 127.0.0.1:") || changed[1] != "# draining" {
			t.Errorf("%s: the changed lines are %q", file, changed)
		}
		if IsDrained(conf) || !IsDrained(drained) {
			t.Errorf("%s: is drained: %t before, %t after", file, IsDrained(conf), IsDrained(drained))
		}
		if diff := cmp.Diff(Revisions(conf), Revisions(drained)); diff != "" {
			t.Errorf("%s: the revisions, -before +after:\n%s", file, diff)
		}
		if again, err := Drained(drained); err != nil || !slices.Equal(again, drained) {
			t.Errorf("%s: drained twice: %v", file, err)
		}
	}
}

func TestDrainedRefuses(t *testing.T) {
	t.Parallel()
	const page = "http_access deny manager_port status_method status_path status\n"
	for name, conf := range map[string]string{
		"an empty file":           "",
		"a file of Debian":        "http_port 3128\nhttp_access deny all\n",
		"no page":                 "http_port 0.0.0.0:3128 accel name=manager_port\n",
		"statistics alone":        "http_port 127.0.0.1:3128 name=manager_port\n" + page,
		"two ports for the state": "http_port 0.0.0.0:3128 accel name=manager_port\nhttp_port 0.0.0.0:3127 accel name=manager_port\n" + page,
	} {
		if drained, err := Drained([]byte(conf)); !errors.Is(err, errNotDrainable) {
			t.Errorf("%s: %v, %q", name, err, drained)
		}
	}
}

// TestDrainedSquid: Squid refuses connections to the port for the state, and a connection
// of before does not get the page. Tenants and Squid's statistics are served as before.
func TestDrainedSquid(t *testing.T) {
	proxy := liveProxy(t)
	tenant := newTenant("client-a", 3129)
	process := startRendered(t, proxy, []v1alpha1.Tenant{tenant})
	connections := 0
	dialer := &net.Dialer{}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		connections++
		return dialer.DialContext(ctx, network, address)
	}}}
	t.Cleanup(client.CloseIdleConnections)
	if status, _, err := getStatus(t.Context(), client, proxy); err != nil || status != http.StatusOK {
		t.Fatalf("at first: status %d, %v", status, err)
	}

	file := process.command[len(process.command)-1]
	conf, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	drained, err := Drained(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, drained, 0o644); err != nil {
		t.Fatal(err)
	}
	parse(t, process.command[0], file)
	if output, err := exec.CommandContext(t.Context(), process.command[0], append(process.command[1:], "-k", "reconfigure")...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	machine := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	waitForPorts(t, proxy, 2)
	conn, err := dialer.DialContext(t.Context(), "tcp", netip.AddrPortFrom(proxy.ListenAddress, proxy.StatusPort).String())
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection to the port for the state: %v", err)
	}
	if status, _ := ask(t, machine, netip.AddrPortFrom(machine, proxy.StatusPort), "GET /squid-internal-mgr/info"); status != http.StatusOK {
		t.Errorf("Squid's statistics: status %d", status)
	}
	status, _, err := getStatus(t.Context(), client, proxy)
	if err == nil && status == http.StatusOK || connections != 1 && !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("on the connection of before: status %d, %v, after %d connections", status, err, connections)
	}
	if _, header := ask(t, proxy.ListenAddress, netip.AddrPortFrom(proxy.ListenAddress, 3129), "GET "+names.ProbeURL); header.Get(names.HeaderRevision) != tenant.Revision() {
		t.Errorf("the tenant's port answers with %v", header)
	}
}

// TestServesSidecars: the files with ports for sidecars are told from the others.
func TestServesSidecars(t *testing.T) {
	t.Parallel()
	for _, file := range casesIn(t) {
		conf, err := os.ReadFile(goldenOf(file))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := ServesSidecars(conf), strings.Contains(file, "sidecars"); got != want {
			t.Errorf("%s: %t, want %t", file, got, want)
		}
	}
}
