package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/sidecar/internal/machinetest"
	"egress.scw/webhook/sidecar/machines"
	"egress.scw/webhook/sidecar/metrics"
	"egress.scw/webhook/sidecar/relay"
)

// pod is a relay that listens.
type pod struct {
	*relay.Relay
	address   string
	authority *machinetest.Authority
	config    *sidecar.Config
	logs      *machinetest.Buffer
}

func startPod(t testing.TB, authority *machinetest.Authority, list ...sidecar.Machine) *pod {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	p := &pod{
		address: listener.Addr().String(), authority: authority, logs: new(machinetest.Buffer),
		config: &sidecar.Config{Tenant: "client-a", Machines: list},
	}
	p.Relay = relay.New(relay.Pod{Namespace: "shop", Name: "web-1"}, new(metrics.Metrics), slog.New(slog.NewJSONHandler(p.logs, nil)))
	p.rotate(t)
	go func() { _ = p.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		p.Shutdown(ctx)
	})
	return p
}

// rotate gives the pod another certificate.
func (p *pod) rotate(t testing.TB) {
	t.Helper()
	set, err := machines.New(p.config, p.authority.TenantPair(t, "client-a"), slog.New(slog.NewJSONHandler(p.logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	p.Use(set)
}

// tunnel opens a tunnel.
func (p *pod) tunnel(target string) (*net.TCPConn, *bufio.Reader, error) {
	connection, err := net.Dial("tcp", p.address) //nolint:noctx // loopback
	if err != nil {
		return nil, nil, err
	}
	_ = connection.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(connection, "CONNECT %[1]s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target)
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodConnect}) //nolint:bodyclose // the connection is closed
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", response.Status)
	}
	if err != nil {
		_ = connection.Close()
		return nil, nil, err
	}
	return connection.(*net.TCPConn), reader, nil
}

// exchange opens a tunnel to an echo server, and sends a byte through it. It returns
// the time at which the tunnel was open.
func (p *pod) exchange(echo string) (opened time.Time, err error) {
	connection, reader, err := p.tunnel(echo)
	if err != nil {
		return time.Time{}, err
	}
	opened = time.Now()
	defer func() { _ = connection.Close() }()
	if _, err := connection.Write([]byte("x")); err != nil {
		return opened, err
	}
	_, err = reader.ReadByte()
	return opened, err
}
