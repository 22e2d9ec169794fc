package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/machine"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// checkDescriptors: Squid may open the number of files that the configured bound
// requires, or this machine's maximum for a process if that is lower.
func checkDescriptors(t *testing.T, vm *machine.VM) {
	t.Helper()
	limit, err := strconv.Atoi(in(t, vm, "awk", "/^Max open files/ { print $5 }", "/proc/1/limits"))
	if err != nil {
		t.Fatal(err)
	}
	manager := fmt.Sprintf("http://127.0.0.1:%d/squid-internal-mgr/info", names.StatusPort)
	page := in(t, vm, "curl", "--silent", "--noproxy", "*", manager)
	want := strconv.Itoa(min(limit, 65536))
	if got := regexp.MustCompile(`Maximum number of file descriptors:\s+(\d+)`).FindStringSubmatch(page); got == nil || got[1] != want {
		t.Errorf("Squid may open %q files, want %s", got, want)
	}
}

// checkConnections: a tenant at its maximum number of connections gets a reset
// for each further one. Other tenants are served. A new squid.conf becomes live,
// also on the port of the refused tenant, and without a refused connection of others,
// although Squid closes its ports while it reads it. It returns the machine's tenants at
// the end.
func (w *world) checkConnections(t *testing.T, vm *machine.VM, tenants []v1alpha1.Tenant) []v1alpha1.Tenant {
	const bound = 20
	checkDescriptors(t, vm)
	rule := "ct count over " + strconv.Itoa(cloudinit.TenantConnections)
	// The table is deleted because ports in the set keep their bound.
	in(t, vm, "sh", "-c", fmt.Sprintf("grep -q '%s' /etc/nftables.conf && sed 's/%s/ct count over %d/' /etc/nftables.conf > /run/bounded.nft", rule, rule, bound))
	in(t, vm, "sh", "-c", "(echo delete table inet egress; cat /run/bounded.nft) | nft -f -")
	defer in(t, vm, "sh", "-c", "(echo delete table inet egress; cat /etc/nftables.conf) | nft -f -")

	full := fmt.Sprintf("%s:%d", proxyAddress, sharedPort)
	defer hold(t, full, bound)()
	refused := func(ctx context.Context) {
		t.Helper()
		if conn, err := dial(ctx, netnsNode, full); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a connection above the bound: %v, want it refused", err)
			if err == nil {
				conn.Close()
			}
		}
	}
	refused(t.Context())
	in(t, vm, "nft", "-f", "/run/bounded.nft") // a reload keeps the count
	refused(t.Context())
	if got, err := get(t.Context(), ownPort, "http://"+echoName+"/ip"); err != nil || got.status != http.StatusOK {
		t.Errorf("another tenant: %+v, %v", got, err)
	}

	tenants = slices.Clone(tenants)
	for i := range tenants {
		if allow := tenants[i].Allow; allow != nil && allow.Mode != policy.ModeOpen {
			allow = allow.DeepCopy()
			for n := range 900 { // so that Squid takes some time to read them
				allow.Domains = append(allow.Domains, fmt.Sprintf("h%d.update.example", n))
			}
			tenants[i].Allow = allow
		}
	}
	stop := attempts(t, strictPort)
	w.setSquidConf(encoded(t, squidConf(t, cloudinit.SourceFlexibleIP, tenants)))
	eventually(t, "an update", func() error {
		got, err := get(t.Context(), strictPort, "http://10.0.0.1/")
		if want := revisionOf(tenants, strictPort); err == nil && got.revision != want {
			err = fmt.Errorf("revision %s, want %s", got.revision, want)
		}
		return err
	})
	stop()
	refused(t.Context())
	eventually(t, "refused connections in metrics", func() error {
		if scrape(t)[names.MetricRefusedConnections+`{tenant="client-b"}`] < 2 {
			return errors.New("they are not counted")
		}
		return nil
	})
	return tenants
}

// hold opens connections to a tenant's port, and keeps them open by requests until release
// is called: Squid closes those without a request after 30 s.
func hold(t *testing.T, address string, count int) (release func()) {
	t.Helper()
	held := make([]*connection, count)
	for i := range held {
		conn, err := dial(t.Context(), netnsNode, address)
		if err != nil {
			t.Fatalf("connection %d of %d: %v", i+1, count, err)
		}
		held[i] = conn
	}
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asking.Go(func() {
		for ctx.Err() == nil {
			for i, conn := range held {
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				if _, err := conn.ask(http.MethodGet, "http://"+echoName+"/ip", echoName); err == nil {
					continue
				}
				if again, err := dial(ctx, netnsNode, address); err == nil {
					conn.Close()
					held[i] = again
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
			}
		}
	})
	return func() {
		cancel()
		asking.Wait()
		for _, conn := range held {
			conn.Close()
		}
	}
}

func revisionOf(tenants []v1alpha1.Tenant, port int32) string {
	for _, tenant := range tenants {
		if tenant.Proxy.Port == port {
			return tenant.Revision()
		}
	}
	return ""
}
