package squid

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// received is a request as an origin has received it.
type received struct {
	host, path string
	body       int64
}

// recordingOrigin is an origin of plain HTTP on loopback. It records requests.
type recordingOrigin struct {
	port int32

	mu       sync.Mutex
	requests []received
}

func startRecordingOrigin(t *testing.T) *recordingOrigin {
	t.Helper()
	origin := &recordingOrigin{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.Copy(io.Discard, r.Body)
		origin.mu.Lock()
		defer origin.mu.Unlock()
		origin.requests = append(origin.requests, received{r.Host, r.URL.Path, body})
	}))
	t.Cleanup(server.Close)
	origin.port = int32(server.Listener.Addr().(*net.TCPAddr).Port)
	return origin
}

// take returns the requests since the last call.
func (o *recordingOrigin) take() []received {
	o.mu.Lock()
	defer o.mu.Unlock()
	taken := o.requests
	o.requests = nil
	return taken
}

// withOrigin starts a Squid with a tenant that has one host in its list, and a tenant
// without a list. Both hosts, listed.test and other.test, are the origin.
func withOrigin(t *testing.T, origin *recordingOrigin) (proxy Config, listed, open v1alpha1.Tenant) {
	t.Helper()
	proxy = liveProxy(t)
	ports := []int32{80, origin.port}
	listed = withAllow("listed", 3129, &v1alpha1.AllowSpec{Domains: []string{"listed.test"}, Ports: ports})
	open = withAllow("open", 3130, &v1alpha1.AllowSpec{Mode: policy.ModeOpen, Ports: ports})
	file := withHosts(t, proxy, []v1alpha1.Tenant{listed, open}, "127.0.0.1", []string{"listed.test", "other.test"})
	file = replaceOnce(t, file, "acl forbidden_destination dst 127.0.0.0/8\n", "acl forbidden_destination dst 127.0.0.0/32\n")
	file = replaceOnce(t, file, "request_timeout 1 minute\n", "request_timeout 5 seconds\nclient_idle_pconn_timeout 5 seconds\n")
	startFile(t, proxy, replaceOnce(t, file, "read_timeout 15 minutes\n", "read_timeout 10 seconds\n"))
	return proxy, listed, open
}

// send sends text to a tenant's port, and returns all answers once Squid has closed the
// connection.
func send(t *testing.T, proxy Config, tenant v1alpha1.Tenant, text string) string {
	t.Helper()
	connection, err := connectTo(t.Context(), proxy, tenant)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer connection.Close()
	_, _ = io.WriteString(connection, text)
	answers, _ := io.ReadAll(connection) // Squid may reset the connection of a request that it refuses
	return string(answers)
}

// ambiguous are requests of which it may be ambiguous where they end, by name. Each is
// followed by a second one, for another host.
func ambiguous(port int32) map[string]string {
	second := fmt.Sprintf("GET http://other.test:%d/second HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n", port)
	post := func(headers, body string) string {
		return fmt.Sprintf("POST http://listed.test:%d/first HTTP/1.1\r\nHost: listed.test\r\n%s\r\n%s%s", port, headers, body, second)
	}
	const chunked, end = "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(end)+len(second))
	return map[string]string{
		"no body":                       post("Content-Length: 0\r\n", ""),
		"a body":                        post("Content-Length: 4\r\n", "body"),
		"chunks":                        post(chunked, "4\r\nbody\r\n"+end),
		"length and chunks":             post(length+chunked, end),
		"chunks and length":             post(chunked+"Content-Length: 4\r\n", end),
		"two lengths":                   post("Content-Length: 0\r\n"+length, end),
		"list of lengths":               post(fmt.Sprintf("Content-Length: 0, %d\r\n", len(second)), ""),
		"length with a sign":            post("Content-Length: +0\r\n", ""),
		"length that is negative":       post("Content-Length: -1\r\n", ""),
		"blank before the colon":        post("Transfer-Encoding : chunked\r\n"+length, end),
		"tab before the value":          post("Transfer-Encoding:\tchunked\r\n"+length, end),
		"value on the next line":        post("Transfer-Encoding:\r\n chunked\r\n"+length, end),
		"unknown encoding":              post("Transfer-Encoding: xchunked\r\n"+length, end),
		"two encodings":                 post("Transfer-Encoding: identity, chunked\r\n"+length, end),
		"encodings in two lines":        post(chunked+"Transfer-Encoding: identity\r\n"+length, end),
		"lines without a return":        strings.ReplaceAll(post(length+chunked, end), "\r\n", "\n"),
		"chunks without a return":       post(chunked, "0\n\n"),
		"extension of a chunk":          post(chunked, "0;a=\"\r\n\r\n"),
		"size of a chunk with a prefix": post(chunked, "0x0\r\n\r\n"),
		"size of a chunk too large":     post(chunked, "10000000000000000\r\n\r\n"),
		"header within a header":        post("X-Own: a\rTransfer-Encoding: chunked\r\n"+length, end),
		"HTTP/1.0":                      strings.Replace(post(length+chunked, end), "HTTP/1.1", "HTTP/1.0", 1),
	}
}

// TestEachRequestIsJudged: whatever Squid takes for the next request on a connection is
// judged like any other, and the origin does not take anything else for one. The tenant
// without a list is the control: some of the second requests arrive.
func TestEachRequestIsJudged(t *testing.T) {
	origin := startRecordingOrigin(t)
	proxy, listed, open := withOrigin(t, origin)
	arrivals := func(tenant v1alpha1.Tenant) (first, second int) {
		var clients sync.WaitGroup
		for _, text := range ambiguous(origin.port) {
			clients.Go(func() { send(t, proxy, tenant, text) })
		}
		clients.Wait()
		for _, request := range origin.take() {
			if request.host == fmt.Sprintf("listed.test:%d", origin.port) && request.path == "/first" {
				first++
			} else {
				second++
			}
		}
		return first, second
	}
	if first, second := arrivals(open); first < 3 || second < 3 {
		t.Errorf("%d first and %d second requests of the tenant without a list arrive: too few for a test", first, second)
	}
	if first, second := arrivals(listed); first < 3 || second > 0 {
		t.Errorf("%d first and %d second requests of the tenant with a list arrive, want none of the latter", first, second)
	}
}

// TestHostIsThatOfTheURL: the host of the URL is judged, and the origin receives it,
// whatever the header is.
func TestHostIsThatOfTheURL(t *testing.T) {
	origin := startRecordingOrigin(t)
	proxy, listed, _ := withOrigin(t, origin)
	host := func(name string) string { return fmt.Sprintf("%s:%d", name, origin.port) }
	for _, headers := range []string{
		"Host: other.test\r\n", "Host: other.test\r\nHost: listed.test\r\n", "Host: listed.test\r\nHost: other.test\r\n", "Host: \r\n", "Host: 127.0.0.1:3128\r\n",
	} {
		for url, want := range map[string][]received{
			"listed.test": {{host("listed.test"), "/", 0}},
			"LISTED.test": {{host("listed.test"), "/", 0}},
			"other.test":  nil,
		} {
			answers := send(t, proxy, listed, fmt.Sprintf("GET http://%s/ HTTP/1.1\r\n%sConnection: close\r\n\r\n", host(url), headers))
			if got := origin.take(); !slices.Equal(got, want) {
				t.Errorf("%s with %q: the origin has received %+v, want %+v; the answer:\n%s", url, headers, got, want, answers)
			}
		}
	}
}

// TestConnectWithoutPort: some clients leave out the port of TLS. The audit log has it.
func TestConnectWithoutPort(t *testing.T) {
	proxy := liveProxy(t)
	tenants := []v1alpha1.Tenant{newTenant("open", 3129), withAllow("enforce", 3130, &v1alpha1.AllowSpec{Domains: []string{"listed.test"}})}
	file := withHosts(t, proxy, tenants, allowed, []string{"listed.test"})
	startFile(t, proxy, replaceOnce(t, file, "request_start_timeout 30 seconds\n", "request_start_timeout 1 second\n"))
	for _, tenant := range tenants {
		answer := send(t, proxy, tenant, "CONNECT listed.test HTTP/1.1\r\nHost: listed.test\r\n\r\n")
		if strings.HasPrefix(answer, "HTTP/1.1 4") {
			t.Errorf("%s: %s", tenant.Name, answer)
		}
	}
	for i, record := range readAudit(t, proxy.AuditLog, len(tenants)) {
		if record.Tenant != tenants[i].Name || record.Host != "listed.test" || record.HostPort != "443" || record.Verdict != policy.VerdictAllowed {
			t.Errorf("%+v", record)
		}
	}
}

// TestLargeUpload: clients wait for permission to send a large body.
func TestLargeUpload(t *testing.T) {
	origin := startRecordingOrigin(t)
	proxy, listed, _ := withOrigin(t, origin)
	connection, err := connectTo(t.Context(), proxy, listed)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	const size = 2_000_000
	fmt.Fprintf(connection, "PUT http://listed.test:%d/upload HTTP/1.1\r\nHost: listed.test\r\nContent-Length: %d\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n", origin.port, size)
	reader := bufio.NewReader(connection)
	status := func() int {
		response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodPut})
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if got := status(); got != http.StatusContinue {
		t.Fatalf("the status is %d, want 100", got)
	}
	if _, err := connection.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if got, arrived := status(), origin.take(); got != http.StatusOK || len(arrived) != 1 || arrived[0].body != size {
		t.Errorf("the status is %d; the origin has received %+v", got, arrived)
	}
}
