package squid

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/proxystatus"
	"egress.scw/webhook/api/v1alpha1"
)

// servedBy is the content of the page of tenants.
func servedBy(tenants ...v1alpha1.Tenant) []proxystatus.Tenant {
	var served []proxystatus.Tenant
	for _, tenant := range tenants {
		served = append(served, proxystatus.Tenant{Port: uint16(tenant.Proxy.Port), Revision: tenant.Revision(), Name: tenant.Name})
	}
	return served
}

// checkPage fails the test unless the answer is the page of tenants.
func checkPage(t *testing.T, what string, body []byte, tenants ...v1alpha1.Tenant) {
	t.Helper()
	got, err := proxystatus.Parse(body)
	if err != nil {
		t.Fatalf("%s: %v\n%s", what, err, body)
	}
	if diff := cmp.Diff(servedBy(tenants...), got); diff != "" {
		t.Errorf("%s, -want +got:\n%s", what, diff)
	}
}

// TestStatusPage: every request on the port for the state, but CONNECT, is answered
// with the page. No request is forwarded, and none is in the audit log.
func TestStatusPage(t *testing.T) {
	proxy := liveProxy(t)
	tenants := []v1alpha1.Tenant{
		newTenant("client-a", 3129), withAllow("client-b", 3130, &v1alpha1.AllowSpec{Mode: policy.ModeEnforce, Domains: []string{"listed.example"}}),
	}
	startRendered(t, proxy, tenants)
	port := netip.AddrPortFrom(proxy.ListenAddress, proxy.StatusPort)
	const page, noPage = true, false
	for _, test := range []struct {
		request string
		status  int
		page    bool
	}{
		{"GET " + names.StatusPath, http.StatusOK, page},
		{"GET /", http.StatusForbidden, page},
		{"GET " + names.StatusPath + "/", http.StatusForbidden, page},
		{"GET " + names.StatusPath + "?a", http.StatusForbidden, page},
		{"POST " + names.StatusPath, http.StatusForbidden, page},
		{"GET /squid-internal-mgr/info", http.StatusForbidden, page},
		{"GET cache_object://egress-proxy/info", http.StatusForbidden, page},
		{"GET http://" + allowed + "/", http.StatusForbidden, page},
		{"GET http://10.0.0.1/", http.StatusForbidden, page},
		{"GET " + names.ProbeURL, http.StatusForbidden, page},
		{"PURGE /", http.StatusForbidden, page},
		{"TRACE /", http.StatusForbidden, page},
		{"CONNECT " + allowed + ":443", http.StatusMethodNotAllowed, noPage},
		{"CONNECT " + allowed + ":80", http.StatusMethodNotAllowed, noPage},
		{"CONNECT 127.0.0.1:80", http.StatusMethodNotAllowed, noPage},
		{"G\"ET / HTTP/1.1\r\n\r\n", http.StatusBadRequest, noPage},
	} {
		answer := exchange(t, proxy.ListenAddress, port, test.request)
		response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
		if err != nil {
			t.Errorf("%s: %v\n%s", test.request, err, answer)
			continue
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != test.status {
			t.Errorf("%s: status %d, want %d", test.request, response.StatusCode, test.status)
		}
		if test.page {
			checkPage(t, test.request, body, tenants...)
		} else if bytes.Contains(body, []byte("client-a")) {
			t.Errorf("%s: the answer has a tenant:\n%s", test.request, body)
		}
		if header := response.Header; header.Get(names.HeaderTenant) != "" || header.Get(names.HeaderRevision) != "" {
			t.Errorf("%s: the answer has the headers of a tenant's port: %v", test.request, header)
		}
	}

	// Not a client.
	loopback := netip.AddrFrom4([4]byte{127, 78, 0, 1})
	if answer := exchange(t, loopback, port, "GET "+names.StatusPath); !bytes.HasPrefix(answer, []byte("HTTP/1.1 403 ")) || bytes.Contains(answer, []byte("client-a")) {
		t.Errorf("an address that is no client's gets\n%s", answer)
	}

	// Squid's own statistics, for programs of the machine.
	machine := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if status, _ := ask(t, machine, netip.AddrPortFrom(machine, proxy.StatusPort), "GET /squid-internal-mgr/info"); status != http.StatusOK {
		t.Errorf("Squid's statistics: status %d", status)
	}

	// The log has the lines of this denial, of the statistics and of a tenant's request,
	// and no others.
	if status, _ := ask(t, proxy.ListenAddress, netip.AddrPortFrom(proxy.ListenAddress, 3129), "GET http://10.0.0.1/"); status != http.StatusForbidden {
		t.Errorf("a tenant's request: status %d", status)
	}
	var ports []string
	for _, record := range readAudit(t, proxy.AuditLog, 3) {
		ports = append(ports, record.Port)
	}
	if diff := cmp.Diff([]string{fmt.Sprint(proxy.StatusPort), fmt.Sprint(proxy.StatusPort), "3129"}, ports); diff != "" {
		t.Errorf("lines of the audit log by port, -want +got:\n%s", diff)
	}
}

// TestStatusPageOfTheWholeRange: the page of all tenants, with names of the maximum
// length, is complete. One with no tenant is empty.
func TestStatusPageOfTheWholeRange(t *testing.T) {
	tenants := everyPort()
	for i := range tenants {
		tenants[i].Name = fmt.Sprintf("%s%04d", strings.Repeat("a", 59), i)
	}
	for _, served := range [][]v1alpha1.Tenant{nil, tenants} {
		proxy := liveProxy(t)
		startRendered(t, proxy, served)
		if _, body, err := getStatus(t.Context(), new(http.Client), proxy); err != nil {
			t.Error(err)
		} else {
			checkPage(t, fmt.Sprintf("%d tenants", len(served)), body, served...)
		}
	}
}

// TestStatusPageFollowsSquid: the page changes when Squid has read a file, not when the
// file is written, and also on a connection that was open before.
func TestStatusPageFollowsSquid(t *testing.T) {
	proxy := liveProxy(t)
	before, after := newTenant("client-a", 3129), newTenant("client-b", 3130)
	process := startRendered(t, proxy, []v1alpha1.Tenant{before})
	// Go's client would give up the connection if it were not scheduled for 50 ms.
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", netip.AddrPortFrom(proxy.ListenAddress, proxy.StatusPort).String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	reader := bufio.NewReader(connection)
	get := func(what string, tenants ...v1alpha1.Tenant) {
		t.Helper()
		_ = connection.SetDeadline(time.Now().Add(time.Minute))
		fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: proxy\r\n\r\n", names.StatusPath)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d, %v", what, response.StatusCode, err)
		}
		checkPage(t, what, body, tenants...)
	}
	get("at first", before)
	file, err := Render(proxy, []v1alpha1.Tenant{before, after})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(process.command[len(process.command)-1], file, 0o644); err != nil {
		t.Fatal(err)
	}
	get("with a file that Squid has not read", before)
	if output, err := exec.CommandContext(t.Context(), process.command[0], append(process.command[1:], "-k", "reconfigure")...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	waitForPorts(t, proxy, 2)
	get("reconfigured", before, after)
}

// getStatus requests the page as the webhook does.
func getStatus(ctx context.Context, client *http.Client, proxy Config) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+netip.AddrPortFrom(proxy.ListenAddress, proxy.StatusPort).String()+names.StatusPath, nil)
	if err != nil {
		return 0, nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, body, err
}
