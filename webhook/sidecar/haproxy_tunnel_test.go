package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

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
