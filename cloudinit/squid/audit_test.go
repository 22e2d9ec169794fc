package squid

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"egress.scw/webhook/api/v1alpha1"
)

// logBuffer is what a line may have at most, its end included, for Squid to
// write all of it.
const logBuffer = 8192

// TestAuditLinesStayWhole: whatever a client sends, a request is one JSON object
// on a line of its own, and so is the neighbour's that comes after it.
func TestAuditLinesStayWhole(t *testing.T) {
	proxy := liveProxy(t)
	client, neighbour := withAllow("client-a", 3129, &v1alpha1.AllowSpec{Mode: v1alpha1.AllowReport}), newTenant("client-b", 3130)
	longest := strings.Repeat(`"`, 255) // Squid reads no further
	startFile(t, proxy, withHosts(t, proxy, []v1alpha1.Tenant{client, neighbour}, allowed, []string{"a.test", longest}))
	requests := 0
	say := func(host, sni string) {
		t.Helper()
		connection, err := connectTo(t.Context(), proxy, client)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		if status, err := openTunnel(connection, net.JoinHostPort(host, "443")); err != nil || status != http.StatusOK {
			t.Fatalf("status %d, %v", status, err)
		}
		_ = tls.Client(connection, &tls.Config{ServerName: sni, InsecureSkipVerify: true}).HandshakeContext(t.Context())
		_, _ = io.Copy(io.Discard, connection)
		if status, err := askFor(t.Context(), proxy, neighbour, http.MethodGet, "10.0.0.1", 80); err != nil || status != http.StatusForbidden {
			t.Fatalf("the neighbour: status %d, %v", status, err)
		}
		requests += 2
	}

	const short = 10
	say("a.test", strings.Repeat("a", short))
	readAudit(t, proxy.AuditLog, requests)
	fill := logBuffer + short - lineOf(t, proxy, client)
	// A line whose end is the first thing that finds no room, and its like: the
	// duration has one digit more or less.
	for more := -3; more <= 3; more++ {
		say("a.test", strings.Repeat("a", fill+more))
	}
	for _, sni := range []string{strings.Repeat("a", 300), strings.Repeat("a", 12_000), strings.Repeat("a", 40_000), strings.Repeat(`"`, 3000)} {
		say("a.test", sni)
		say(longest, sni)
	}
	if status, err := askFor(t.Context(), proxy, client, strings.Repeat("%", 32), longest, 80); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("long method and host: status %d, %v", status, err)
	}
	requests++

	neighbours := 0
	for _, record := range readAudit(t, proxy.AuditLog, requests) {
		if record.Tenant == neighbour.Name {
			neighbours++
		}
	}
	if want := requests / 2; neighbours != want {
		t.Errorf("%d lines of the neighbour, want %d", neighbours, want)
	}
}

// lineOf returns the length of the first line of a tenant in the audit log.
func lineOf(t *testing.T, proxy Proxy, tenant v1alpha1.Tenant) int {
	t.Helper()
	text, err := os.ReadFile(proxy.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte(`"tenant":"`+tenant.Name+`"`)) {
			return len(line)
		}
	}
	t.Fatalf("no line of %s in\n%s", tenant.Name, text)
	return 0
}
