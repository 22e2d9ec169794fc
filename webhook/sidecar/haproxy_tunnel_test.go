package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// TestHAProxyHalfClose: both directions of a tunnel end by themselves, and resets
// reach the client.
func TestHAProxyHalfClose(t *testing.T) {
	t.Parallel()
	authority := machinetest.NewAuthority(t)
	p := startPod(t, authority, startHAProxy(t, authority).Machine)
	client, reader, err := p.tunnel(machinetest.Target(t, func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		_, _ = c.Write(append(all, " read"...))
	}))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(client, "client first")
	_ = client.CloseWrite()
	if got, err := io.ReadAll(reader); err != nil || string(got) != "client first read" {
		t.Errorf("%q, %v", got, err)
	}

	got := make(chan string, 1)
	client, reader, err = p.tunnel(machinetest.Target(t, func(c *net.TCPConn) {
		_, _ = c.Write([]byte("target first"))
		_ = c.CloseWrite()
		all, _ := io.ReadAll(c)
		got <- string(all)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if first, err := io.ReadAll(reader); err != nil || string(first) != "target first" {
		t.Errorf("%q, %v", first, err)
	}
	fmt.Fprint(client, "late")
	_ = client.CloseWrite()
	if all := <-got; all != "late" {
		t.Errorf("the target read %q behind its own end", all)
	}
}

// TestHAProxyLargeHeader: a header that is too large for HAProxy ends its own request, and
// not the other tunnels of the pod.
func TestHAProxyLargeHeader(t *testing.T) {
	t.Parallel()
	authority := machinetest.NewAuthority(t)
	p := startPod(t, authority, startHAProxy(t, authority).Machine)
	echo := machinetest.Target(t, machinetest.Echo)
	other, reader, err := p.tunnel(echo)
	if err != nil {
		t.Fatal(err)
	}
	var many strings.Builder
	for i := range 250 {
		fmt.Fprintf(&many, "X-%d: a\r\n", i)
	}
	large := func(size int) string { return "X-Large: " + strings.Repeat("a", size) + "\r\n" }
	for name, c := range map[string]struct {
		target, fields string
		status         int
	}{
		"usual":       {echo, large(8 << 10), http.StatusOK},
		"15 KiB":      {echo, large(15 << 10), http.StatusRequestHeaderFieldsTooLarge},
		"18 KiB":      {echo, large(18 << 10), http.StatusRequestHeaderFieldsTooLarge},
		"many fields": {echo, many.String(), http.StatusRequestHeaderFieldsTooLarge},
		"long target": {strings.Repeat("a", 9<<10) + ":443", "", http.StatusRequestHeaderFieldsTooLarge},
	} {
		connection, err := net.Dial("tcp", p.address) //nolint:noctx // loopback
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = connection.Close() }()
		fmt.Fprintf(connection, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n%[2]s\r\n", c.target, c.fields)
		response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // the connection is closed
		if err != nil || response.StatusCode != c.status {
			t.Errorf("%s: %v, %v, want status %d", name, response, err, c.status)
		}
	}
	fmt.Fprint(other, "x")
	if _, err := reader.ReadByte(); err != nil {
		t.Errorf("the other tunnel: %v", err)
	}
	if logs := p.logs.String(); strings.Contains(logs, "passed over") {
		t.Errorf("a machine is passed over: %s", logs)
	}
}

// TestHAProxyPlainHTTP: the proxy gets the URL in full.
func TestHAProxyPlainHTTP(t *testing.T) {
	t.Parallel()
	authority := machinetest.NewAuthority(t)
	p := startPod(t, authority, startHAProxy(t, authority).Machine)
	connection, err := net.Dial("tcp", p.address) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	fmt.Fprint(connection, "GET http://a.example/path HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(connection), nil) //nolint:bodyclose // the connection is closed
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "http://a.example/path" {
		t.Errorf("%s: %q, %v", response.Status, body, err)
	}
}

// TestHAProxyLargePlainHeader: the reason is the request, and not the machine.
func TestHAProxyLargePlainHeader(t *testing.T) {
	t.Parallel()
	authority := machinetest.NewAuthority(t)
	p := startPod(t, authority, startHAProxy(t, authority).Machine)
	connection, err := net.Dial("tcp", p.address) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	fmt.Fprintf(connection, "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nX-Large: %s\r\n\r\n", strings.Repeat("a", 16<<10))
	response, err := http.ReadResponse(bufio.NewReader(connection), nil) //nolint:bodyclose // the connection is closed
	if err != nil || response.StatusCode != http.StatusBadRequest {
		t.Errorf("%v, %v", response, err)
	}
	if logs := p.logs.String(); !strings.Contains(logs, "the machine could not read the request") || strings.Contains(logs, "passed over") {
		t.Errorf("logged: %s", logs)
	}
}

// TestHAProxyTargetDoesNotRead: a target that does not read stalls the tunnels of its
// connection in HAProxy. Further tunnels of the pod work all the same. On a busy machine, a
// further connection may take more than its 5 s: then the test starts again.
func TestHAProxyTargetDoesNotRead(t *testing.T) {
	t.Parallel()
	var err error
	for range 3 {
		err = tunnelsBesideAStalledOne(t)
		if err == nil {
			return
		}
	}
	t.Error(err)
}

func tunnelsBesideAStalledOne(t *testing.T) error {
	t.Helper()
	authority := machinetest.NewAuthority(t)
	p := startPod(t, authority, startHAProxy(t, authority).Machine)
	client, _, err := p.tunnel(machinetest.Target(t, func(*net.TCPConn) { <-t.Context().Done() }))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	var sent atomic.Int64
	go func() {
		for block := make([]byte, 64<<10); ; {
			n, err := client.Write(block)
			sent.Add(int64(n))
			if err != nil {
				return // the client is closed
			}
		}
	}()
	for before := int64(-1); before != sent.Load(); time.Sleep(time.Second) {
		before = sent.Load()
	}
	echo := machinetest.Target(t, machinetest.Echo)
	for i := range 5 {
		if _, err := p.exchange(echo); err != nil {
			return fmt.Errorf("tunnel %d, while another one has %d bytes that its target does not read: %w", i, sent.Load(), err)
		}
	}
	return nil
}
