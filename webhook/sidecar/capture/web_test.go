package capture

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// webFixture is a Capture whose last port is that of plain HTTP, with a server behind
// the name a.example that answers with what it got.
func webFixture(t *testing.T) (f *fixture, port uint16) {
	t.Helper()
	f = start(t, testConfig(machinetest.FreePort(t)))
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s host=%s upgrade=%q for=%q body=%s", r.Method, r.RequestURI, r.Host, r.Header.Get("Upgrade"), r.Header.Get("X-Forwarded-For"), body)
	}))
	t.Cleanup(origin.Close)
	address := strings.TrimPrefix(origin.URL, "http://")
	f.proxy.serve("a.example", 80, address)
	f.proxy.serve("a.example", f.web.port, address)
	return f, f.web.port
}

// send sends a request as it is written, and returns the answer.
func send(t *testing.T, conn net.Conn, reader *bufio.Reader, request string) (status int, body string) {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	response, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// TestPlainHTTP: each request of a connection goes to the proxy with its own URL, and
// with the name of the connection as its host.
func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	f, port := webFixture(t)
	conn := f.dial(t, "a.example", port)
	reader := bufio.NewReader(conn)
	for _, test := range []struct{ request, want, url string }{
		{"GET /a?b=c;d HTTP/1.1\r\nHost: a.example\r\n\r\n", `GET /a?b=c;d host=a.example upgrade="" for="" body=`, "GET http://a.example/a?b=c;d"},
		{"GET /a%2Fb//c HTTP/1.1\r\nHost: A.Example.\r\n\r\n", `GET /a%2Fb//c host=a.example upgrade="" for="" body=`, "GET http://a.example/a%2Fb//c"},
		{fmt.Sprintf("GET / HTTP/1.1\r\nHost: a.example:%d\r\n\r\n", port), `GET / host=a.example upgrade="" for="" body=`, "GET http://a.example/"},
		{"GET http://a.example/x HTTP/1.1\r\nHost: other.example\r\n\r\n", `GET /x host=a.example upgrade="" for="" body=`, "GET http://a.example/x"},
		{"POST / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 192.0.2.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", "", ""},
		{"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n", `GET / host=a.example upgrade="" for="" body=`, "GET http://a.example/"},
		{"GET /last HTTP/1.0\r\n\r\n", `GET /last host=a.example upgrade="" for="" body=`, "GET http://a.example/last"},
	} {
		if test.want == "" { // the body follows the interim answer
			if status, _ := send(t, conn, reader, test.request); status != http.StatusContinue {
				t.Fatalf("the program waits for status 100, and gets %d", status)
			}
			status, body := send(t, conn, reader, "5\r\nhello\r\n0\r\n\r\n")
			if want := `POST / host=a.example upgrade="" for="192.0.2.1" body=hello`; status != http.StatusOK || body != want {
				t.Errorf("%d %s, want %s", status, body, want)
			}
			continue
		}
		status, body := send(t, conn, reader, test.request)
		if status != http.StatusOK || body != test.want {
			t.Errorf("%q: %d %s, want %s", test.request, status, body, test.want)
		}
		if urls := f.proxy.requests(); urls[len(urls)-1] != test.url {
			t.Errorf("%q: the proxy gets %q, want %q", test.request, urls[len(urls)-1], test.url)
		}
	}
	if tunnels := f.proxy.tunnels(); len(tunnels) != 0 {
		t.Errorf("tunnels to %q", tunnels)
	}
}

// TestPlainHTTPForAnotherHost: the name of a connection cannot be used to reach another
// site of the same server.
func TestPlainHTTPForAnotherHost(t *testing.T) {
	t.Parallel()
	f, port := webFixture(t)
	for _, request := range []string{
		"GET / HTTP/1.1\r\nHost: b.example\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a.example:81\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a.example.b.example\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n",
		"GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: b.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		conn := f.dial(t, "a.example", port)
		status, body := send(t, conn, bufio.NewReader(conn), request)
		if status != http.StatusMisdirectedRequest || !strings.Contains(body, "Connect to the host of the request") {
			t.Errorf("%q: %d %s", request, status, body)
		}
	}
	if urls := append(f.proxy.requests(), f.proxy.tunnels()...); len(urls) != 0 {
		t.Errorf("the proxy gets %q", urls)
	}
	if lines := strings.Count(f.logs.String(), "a request is refused, because it is for another host"); lines != 6 {
		t.Errorf("%d log lines, want 6:\n%s", lines, f.logs)
	}
}

// TestPlainHTTPWithoutAnswer: the program gets a sentence. The relay logs the failure.
func TestPlainHTTPWithoutAnswer(t *testing.T) {
	t.Parallel()
	f, port := webFixture(t)
	conn := f.dial(t, "down.example", port)
	status, body := send(t, conn, bufio.NewReader(conn), "GET / HTTP/1.1\r\nHost: down.example\r\n\r\n")
	if status != http.StatusBadGateway || !strings.Contains(body, "no machine answers") || f.logs.String() != "" {
		t.Errorf("%d %s\n%s", status, body, f.logs)
	}
}

// TestUpgrade: a request for another protocol is sent in a tunnel, with all that follows,
// and a refusal of the tunnel is its answer.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	f, port := webFixture(t)
	heads := make(chan string, 1)
	f.proxy.serve("ws.example", port, server(t, func(conn *net.TCPConn) {
		reader := bufio.NewReader(conn)
		var head strings.Builder
		for line := ""; line != "\r\n"; {
			line, _ = reader.ReadString('\n')
			head.WriteString(line)
		}
		heads <- head.String()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
		_, _ = io.Copy(conn, reader)
		_ = conn.Close()
	}))
	const request = "GET /chat HTTP/1.1\r\nHost: ws.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
	conn := f.dial(t, "ws.example", port)
	if _, err := io.WriteString(conn, request+"early"); err != nil {
		t.Fatal(err)
	}
	_ = conn.CloseWrite()
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 101 ") || !strings.HasSuffix(string(answer), "\r\n\r\nhelloearly") {
		t.Errorf("%q: %v", answer, err)
	}
	lines := strings.Split(strings.TrimSpace(<-heads), "\r\n")
	slices.Sort(lines)
	if want := []string{"Connection: Upgrade", "GET /chat HTTP/1.1", "Host: ws.example", "Upgrade: websocket"}; !slices.Equal(lines, want) {
		t.Errorf("the server gets %q, want %q", lines, want)
	}
	refused := f.dial(t, "unlisted.example", port)
	status, body := send(t, refused, bufio.NewReader(refused), strings.ReplaceAll(request, "ws.example", "unlisted.example"))
	if status != http.StatusForbidden || !strings.Contains(body, `the rule "domain"`) {
		t.Errorf("%d %s", status, body)
	}
	eventually(t, "the connection has ended", func() bool { return f.Stats().Connections <= 1 })
}

// TestOtherProtocolsOnTheWebPort: what is not a request of HTTP/1 becomes a tunnel, with
// its first bytes.
func TestOtherProtocolsOnTheWebPort(t *testing.T) {
	t.Parallel()
	f, port := webFixture(t)
	f.proxy.serve("other.example", port, server(t, func(conn *net.TCPConn) {
		_, _ = io.Copy(conn, conn)
		_ = conn.Close()
	}))
	for _, first := range []string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00", "SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "CONNECT b.example:80 HTTP/1.1\r\n\r\n", "\x00", "lower case"} {
		conn := f.dial(t, "other.example", port)
		for i := range len(first) { // byte by byte, as slowly as a program may be
			if _, err := conn.Write([]byte{first[i]}); err != nil {
				t.Fatal(err)
			}
		}
		_ = conn.CloseWrite()
		if answer, err := io.ReadAll(conn); err != nil || string(answer) != first {
			t.Errorf("%q: %q (%v)", first, answer, err)
		}
	}
}

func TestBeginsHTTP1(t *testing.T) {
	t.Parallel()
	for first, want := range map[string]bool{
		"GET / HTTP/1.1": true, "OPTIONS * HTTP/1.1": true, "GET http://a/": true, "M-SEARCH * HTTP/1.1": true, "GET ": true, "UPDATEREDIRECTREF /a": true,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n": false, "CONNECT a:80 HTTP/1.1": false, "SSH-2.0-OpenSSH_9.2 Debi": false, "get / HTTP/1.1": false,
		"": false, " / HTTP/1.1": false, "\x16\x03\x01": false, "ABCDEFGHIJKLMNOPQRSTUVWX": false,
	} {
		if got := beginsHTTP1([]byte(first)); got != want {
			t.Errorf("%q: %t, want %t", first, got, want)
		}
	}
}
