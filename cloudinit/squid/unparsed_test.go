package squid

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// TestUnparsedRequests: the line of a connection without a request that Squid can
// parse has the tenant of its port, and cache.log has no line for it. A URL of 8 KB is
// such a request. Of a request that Squid does not support, the line has the host.
func TestUnparsedRequests(t *testing.T) {
	proxy := liveProxy(t)
	tenants := []v1alpha1.Tenant{withAllow("client-a", 3129, &v1alpha1.AllowSpec{Mode: policy.ModeReport}), withAllow("client-b", 3130, &v1alpha1.AllowSpec{Mode: policy.ModeReport})}
	file, err := Render(proxy, tenants)
	if err != nil {
		t.Fatal(err)
	}
	startFile(t, proxy, replaceOnce(t, file, "request_start_timeout 30 seconds\n", "request_start_timeout 5 seconds\n"))
	before, err := os.ReadFile(proxy.CacheLog)
	if err != nil {
		t.Fatal(err)
	}

	url := func(length int) string {
		return "http://" + allowed + "/" + strings.Repeat("a", length-len("http://"+allowed+"/"))
	}
	const unanswered = 0
	tests := []struct {
		request string
		status  int
		verdict policy.Verdict
	}{
		{`G"ET http://10.0.0.1/ HTTP/1.1` + "\r\n\r\n", http.StatusBadRequest, "-"},
		{"GET / HTTP/1.1\r\n\r\n", http.StatusBadRequest, "-"},
		{"CONNECT 10.0.0.1:99999 HTTP/1.1\r\n\r\n", http.StatusBadRequest, "-"},
		{"\x16\x03\x01\r\n\r\n", http.StatusBadRequest, "-"},
		{"OPTIONS http://" + allowed + "/ HTTP/1.1\r\nMax-Forwards: 0\r\n\r\n", http.StatusNotImplemented, "-"},
		{"POST http://" + allowed + "/ HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", http.StatusNotImplemented, "-"},
		{"POST http://" + allowed + "/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", statusOfTwoLengths(t), "-"},
		{"GET " + url(8000) + " HTTP/1.1\r\nConnection: close\r\n\r\n", http.StatusServiceUnavailable, policy.VerdictWouldDeny},
		{"GET " + url(8192) + " HTTP/1.1\r\n\r\n", http.StatusBadRequest, "-"},
		{"GET " + url(40_000) + " HTTP/1.1\r\n\r\n", http.StatusRequestURITooLong, "-"},
		{"GET http://" + allowed + "/ HTTP/1.1\r\nX-Long: " + strings.Repeat("a", 33_000) + "\r\n\r\n", http.StatusRequestHeaderFieldsTooLarge, "-"},
		{"", unanswered, "-"},
		{"GET http://10.0", unanswered, "-"},
	}
	for _, tenant := range tenants {
		for _, test := range tests {
			connection, err := connectTo(t.Context(), proxy, tenant)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(connection, test.request)
			if test.status == unanswered && test.request != "" {
				_ = connection.(*net.TCPConn).CloseWrite() // Squid does not wait for the rest
			}
			answer, _ := io.ReadAll(connection)
			if got := string(answer); test.status != unanswered && !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", test.status)) {
				t.Errorf("%.60q: %.60q, want %d", test.request, got, test.status)
			}
			connection.Close()
		}
	}
	for i, record := range readLines(t, proxy.AuditLog, len(tenants)*len(tests), func(r AuditRecord) bool { return r.Tenant != "-" || r.Port != fmt.Sprint(proxy.StatusPort) }) {
		tenant, test := tenants[i/len(tests)], tests[i%len(tests)]
		if record.Tenant != tenant.Name || record.Port != fmt.Sprint(tenant.Proxy.Port) || record.Status != test.status || record.Verdict != test.verdict {
			t.Errorf("%.60q of %s: %+v", test.request, tenant.Name, record)
		}
		if unsupported := test.status == http.StatusNotImplemented || test.status == http.StatusLengthRequired; unsupported && record.Host != allowed {
			t.Errorf("%.60q of %s: the host is %q, want %q", test.request, tenant.Name, record.Host, allowed)
		}
	}
	after, err := os.ReadFile(proxy.CacheLog)
	if err != nil {
		t.Fatal(err)
	}
	if more := strings.TrimPrefix(string(after), string(before)); strings.Contains(more, "WARNING") {
		t.Errorf("cache.log:\n%s", more)
	}
}

// statusOfTwoLengths is the status of Squid's answer to a request with two different
// lengths of its body.
func statusOfTwoLengths(t *testing.T) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "squid", "-v").Output()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.HasPrefix(out, []byte("Squid Cache: Version 5.")) {
		return http.StatusLengthRequired
	}
	return http.StatusBadRequest // since version 6
}

// TestAuditLogIsReopened: after a rotation, lines are written to a new file.
func TestAuditLogIsReopened(t *testing.T) {
	proxy := liveProxy(t)
	tenant := newTenant("client-a", 3129)
	process := startRendered(t, proxy, []v1alpha1.Tenant{tenant})
	old := proxy.AuditLog + "-1"
	for _, rotated := range []bool{false, true} {
		if rotated {
			if err := os.Rename(proxy.AuditLog, old); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(process.pid, syscall.SIGUSR1); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
				if _, err := os.Stat(proxy.AuditLog); err == nil {
					break
				} else if time.Now().After(deadline) {
					t.Fatal(err)
				}
			}
		}
		if _, err := askFor(t.Context(), proxy, tenant, http.MethodGet, "10.0.0.1", 80); err != nil {
			t.Fatal(err)
		}
		readAudit(t, proxy.AuditLog, 1)
	}
	readAudit(t, old, 1)
}
