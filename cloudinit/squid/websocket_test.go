package squid

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// TestWebSocket upgrades requests by plain HTTP. An upgrade is judged like any other
// request, and passes for WebSocket alone: the origin does not see the offer of
// another protocol.
func TestWebSocket(t *testing.T) {
	proxy := liveProxy(t)
	port := startUpgrader(t)
	ports := []int32{80, port}
	domains := []string{"listed.test"}
	tenants := []v1alpha1.Tenant{
		withAllow("enforce", 3129, &v1alpha1.AllowSpec{Domains: domains, Ports: ports}),
		withAllow("report", 3130, &v1alpha1.AllowSpec{Mode: policy.ModeReport, Domains: domains, Ports: ports}),
		withAllow("open", 3131, &v1alpha1.AllowSpec{Mode: policy.ModeOpen, Ports: ports}),
	}
	file := withHosts(t, proxy, tenants, "127.0.0.1", []string{"listed.test", "other.test"})
	file = replaceOnce(t, file, "acl forbidden_destination dst 127.0.0.0/8\n", "acl forbidden_destination dst 127.0.0.0/32\n")
	startFile(t, proxy, file)

	const switched, plain, refused = http.StatusSwitchingProtocols, http.StatusOK, http.StatusForbidden
	allowed, denied := policy.Decision{Verdict: policy.VerdictAllowed, Rule: "-"}, policy.Decision{Verdict: policy.VerdictDenied, Rule: policy.RuleDomain}
	forbidden := policy.Decision{Verdict: policy.VerdictDenied, Rule: policy.RuleForbiddenDestination}
	type outcome struct {
		status         int
		decision       policy.Decision
		received, sent int64 // bytes after the answer; 0 if it was not upgraded
	}
	var want, got []outcome
	for _, tenant := range tenants {
		other := outcome{switched, allowed, 6, 700_000}
		switch tenant.AllowList().Mode {
		case policy.ModeEnforce:
			other = outcome{refused, denied, 0, 0}
		case policy.ModeReport:
			other.decision = policy.Decision{Verdict: policy.VerdictWouldDeny, Rule: policy.RuleDomain}
		case policy.ModeOpen: // as for the listed host
		}
		for _, test := range []struct {
			host, protocol string
			want           outcome
		}{
			{"listed.test", "websocket", outcome{switched, allowed, 6, 700_000}},
			{"listed.test", "WebSocket", outcome{switched, allowed, 6, 700_000}},
			{"listed.test", "Websocket", outcome{switched, allowed, 6, 700_000}},
			{"listed.test", "h2c", outcome{plain, allowed, 0, 0}},
			{"listed.test", "TLS/1.0", outcome{plain, allowed, 0, 0}},
			{"other.test", "websocket", other},
			{"10.0.0.1", "websocket", outcome{refused, forbidden, 0, 0}},
		} {
			status, sent, err := upgrade(t, proxy, tenant, fmt.Sprintf("%s:%d", test.host, port), test.protocol)
			if err != nil {
				t.Errorf("%s: %s of %s: %v", tenant.Name, test.protocol, test.host, err)
			}
			want, got = append(want, test.want), append(got, outcome{status: status, sent: sent})
		}
	}
	for i, record := range readAudit(t, proxy.AuditLog, len(want)) {
		got[i].decision = policy.Decision{Verdict: record.Verdict, Rule: record.Rule}
		if want[i].status == switched {
			got[i].received = 6
			if record.Method != http.MethodGet || record.Status != switched || record.BytesSent != want[i].sent || record.BytesReceived <= want[i].received {
				t.Errorf("line %d: %+v", i+1, record)
			}
		}
		if got[i] != want[i] {
			t.Errorf("line %d: %+v, want %+v; %+v", i+1, got[i], want[i], record)
		}
	}
}

// TestBandwidthOfWebSocket: the bound of a tenant's bandwidth holds after an upgrade.
func TestBandwidthOfWebSocket(t *testing.T) {
	proxy, tenants := boundedTenants(t)
	replaceable(t, proxy, tenants)
	target := fmt.Sprintf("127.0.0.1:%d", startUpgrader(t))
	var took []time.Duration
	for _, tenant := range tenants {
		start := time.Now()
		status, sent, err := upgrade(t, proxy, tenant, target, "websocket")
		if err != nil || status != http.StatusSwitchingProtocols || sent != 700_000 {
			t.Errorf("%s: status %d, %d bytes, %v", tenant.Name, status, sent, err)
		}
		took = append(took, time.Since(start))
	}
	// The data of one second may arrive at once.
	if least := 700_000/(boundedKiB<<10)*time.Second - time.Second; took[0] < least || took[1] >= took[0] {
		t.Errorf("%s with the bound, %s without: want at least %s with it, and less without", took[0], took[1], least)
	}
}

// upgrade offers a protocol, and in it sends a word that the origin answers. It
// returns the status and the length of that answer.
func upgrade(t *testing.T, proxy Config, tenant v1alpha1.Tenant, target, protocol string) (int, int64, error) {
	t.Helper()
	connection, err := connectTo(t.Context(), proxy, tenant)
	if err != nil {
		return 0, 0, err
	}
	defer connection.Close()
	fmt.Fprintf(connection, "GET http://%s/ HTTP/1.1\r\nHost: %s\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n", target, target, protocol)
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodGet})
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(response.Body)
		if bytes.Contains(body, []byte("offered")) {
			err = fmt.Errorf("the origin was offered %q", body)
		}
		return response.StatusCode, 0, err
	}
	if _, err := io.WriteString(connection, "repeat"); err != nil {
		return 0, 0, err
	}
	sent, err := io.Copy(io.Discard, reader)
	return response.StatusCode, sent, err
}

// startUpgrader returns the port of an origin that accepts every upgrade. It then
// answers six bytes with 700,000, and closes the connection.
func startUpgrader(t *testing.T) int32 {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol := r.Header.Get("Upgrade")
		if protocol == "" {
			return
		}
		if protocol == "h2c" || protocol == "TLS/1.0" {
			fmt.Fprint(w, "offered ", protocol)
			return
		}
		connection, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer connection.Close()
		fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: %s\r\nConnection: Upgrade\r\n\r\n", protocol)
		if buffered.Flush() != nil {
			return
		}
		if _, err := io.ReadFull(buffered, make([]byte, len("repeat"))); err == nil {
			_, _ = connection.Write(make([]byte, 700_000))
		}
	}))
	t.Cleanup(server.Close)
	return int32(server.Listener.Addr().(*net.TCPAddr).Port)
}
