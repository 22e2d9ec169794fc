package squid

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// logBuffer is the maximum length of a line, its newline included, that Squid
// writes completely.
const logBuffer = 8192

// TestAuditLinesStayWhole: for any client input, a request is one JSON object on
// its own line. The same holds for the neighbour's next request.
func TestAuditLinesStayWhole(t *testing.T) {
	proxy := liveProxy(t)
	client, neighbour := withAllow("client-a", 3129, &v1alpha1.AllowSpec{Mode: policy.ModeReport}), newTenant("client-b", 3130)
	longest := strings.Repeat(`"`, 255) // the longest host that Squid reads
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
	// The lengths are around the first one at which the newline does not fit: the
	// duration may have one digit more or less.
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

// lineOf returns the length of a tenant's first line in the audit log.
func lineOf(t *testing.T, proxy Config, tenant v1alpha1.Tenant) int {
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

// Sizes of the requests and answers in TestFigures, and the origin's delay.
const (
	uploaded   = 300_000
	downloaded = 700_000
	thinking   = time.Second / 2
)

// TestFigures compares sizes and durations in the audit log with the traffic on
// the client's connection. For an inspected tunnel with TLS, the record covers
// only the traffic after the CONNECT and its answer.
func TestFigures(t *testing.T) {
	proxy := liveProxy(t)
	plain, readable, unlooked, encrypted := startThinker(t, false), startThinker(t, false), startThinker(t, false), startThinker(t, true)
	ports := []int32{80, plain, readable, unlooked, encrypted}
	open := withAllow("open", 3129, &v1alpha1.AllowSpec{Mode: policy.ModeOpen, Ports: ports})
	enforce := withAllow("enforce", 3130, &v1alpha1.AllowSpec{Domains: []string{"listed.test"}, Ports: ports})
	report := withAllow("report", 3131, &v1alpha1.AllowSpec{Mode: policy.ModeReport, Ports: ports})
	file := withHosts(t, proxy, []v1alpha1.Tenant{open, enforce, report}, "127.0.0.1", []string{"listed.test"})
	file = replaceOnce(t, file, "acl forbidden_destination dst 127.0.0.0/8\n", "acl forbidden_destination dst 127.0.0.0/32\n")
	file = replaceOnce(t, file, "acl plain_port port 80\n", fmt.Sprintf("acl plain_port port %d\n", readable))
	file = replaceOnce(t, file, "acl tls_port port 443\n", fmt.Sprintf("acl tls_port port %d %d\n", plain, encrypted))
	startFile(t, proxy, file)

	type figures struct {
		method         string
		received, sent int64
	}
	var want []figures
	for _, test := range []struct {
		tenant v1alpha1.Tenant
		method string // as in the audit log
		port   int32
		inside bool // only the traffic in the tunnel is counted
	}{
		{open, "POST", plain, false},
		{open, "CONNECT", plain, false},
		{open, "CONNECT", encrypted, false},
		{enforce, "POST", plain, false},
		{enforce, "CONNECT", unlooked, false},
		{enforce, "CONNECT", encrypted, true},
		{report, "CONNECT", unlooked, false},
		{report, "CONNECT", encrypted, true},
		{report, "CONNECT", plain, true},
		{enforce, "CONNECT", readable, true},
		{report, "CONNECT", readable, true},
	} {
		connection, err := connectTo(t.Context(), proxy, test.tenant)
		if err != nil {
			t.Fatal(err)
		}
		outside := &countingConn{Conn: connection}
		var connect countingConn
		url := fmt.Sprintf("http://listed.test:%d/", test.port)
		inside := net.Conn(outside)
		if test.method != http.MethodPost {
			if status, err := openTunnel(outside, fmt.Sprintf("listed.test:%d", test.port)); err != nil || status != http.StatusOK {
				t.Fatalf("%s: CONNECT: status %d, %v", test.tenant.Name, status, err)
			}
			connect, url = *outside, "/"
		}
		if test.port == encrypted {
			inside = tls.Client(outside, &tls.Config{ServerName: "listed.test", InsecureSkipVerify: true})
		}
		fmt.Fprintf(inside, "POST %s HTTP/1.1\r\nHost: listed.test\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", url, uploaded)
		_, _ = inside.Write(make([]byte, uploaded))
		if answer, err := io.ReadAll(inside); err != nil || len(answer) < downloaded {
			t.Fatalf("%s: %s: %d bytes, %v", test.tenant.Name, test.method, len(answer), err)
		}
		connection.Close()
		expected := figures{test.method, outside.written, outside.read}
		if test.inside {
			expected.received -= connect.written
			expected.sent -= connect.read
		}
		want = append(want, expected)
	}
	for i, record := range readAudit(t, proxy.AuditLog, len(want)) {
		// Squid 5 calls an inspected tunnel without TLS NONE, Squid 6 CONNECT.
		method := record.Method
		if port := record.HostPort; method == "NONE" && record.Tenant != open.Name && (port == fmt.Sprint(plain) || port == fmt.Sprint(readable)) {
			method = http.MethodConnect
		}
		if got := (figures{method, record.BytesReceived, record.BytesSent}); got != want[i] {
			t.Errorf("line %d: %+v, want %+v", i+1, got, want[i])
		}
		if took := time.Duration(record.DurationMillis) * time.Millisecond; took < thinking || took > time.Minute {
			t.Errorf("line %d: took %s, and the origin alone %s", i+1, took, thinking)
		}
	}
}

// TestFiguresOfWhatIsRefused: for an inspected tunnel that Squid denies or
// terminates, only the CONNECT is counted.
func TestFiguresOfWhatIsRefused(t *testing.T) {
	proxy := liveProxy(t)
	tenant := withAllow("client-a", 3129, &v1alpha1.AllowSpec{Domains: []string{"listed.test"}})
	startFile(t, proxy, withHosts(t, proxy, []v1alpha1.Tenant{tenant}, allowed, []string{"listed.test"}))
	hosts := []string{"listed.test", "other.test"}
	var asked []int64
	for _, host := range hosts {
		connection, err := connectTo(t.Context(), proxy, tenant)
		if err != nil {
			t.Fatal(err)
		}
		outside := &countingConn{Conn: connection}
		status, err := openTunnel(outside, host+":443")
		if err != nil {
			t.Fatal(err)
		}
		asked = append(asked, outside.written)
		if status == http.StatusOK {
			_ = tls.Client(outside, &tls.Config{ServerName: "other.test"}).HandshakeContext(t.Context())
		}
		connection.Close()
	}
	for i, record := range readAudit(t, proxy.AuditLog, len(hosts)) {
		if want := []policy.Verdict{policy.VerdictTerminated, policy.VerdictDenied}[i]; record.Verdict != want || record.BytesReceived != asked[i] || record.BytesSent != 0 {
			t.Errorf("want %s, %d bytes received and none sent: %+v", want, asked[i], record)
		}
	}
}

// startThinker returns the port of an origin that reads the whole request,
// waits, and sends a large answer.
func startThinker(t *testing.T, encrypted bool) int32 {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(thinking)
		_, _ = w.Write(make([]byte, downloaded))
	}))
	if encrypted {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return int32(server.Listener.Addr().(*net.TCPAddr).Port)
}

// countingConn counts the bytes on a connection.
type countingConn struct {
	net.Conn
	read, written int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read += int64(n)
	return n, err
}

func (c *countingConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written += int64(n)
	return n, err
}
