package main

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/sidecar/internal/machinetest"
)

// TestProgram: the sidecar answers before it has files, and serves tunnels and plain HTTP
// when it has them. Each refusal is one log line with the reason and the cure.
func TestProgram(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	echo := machinetest.Target(t, machinetest.Echo)
	if _, err := p.open(echo); err == nil || !strings.Contains(err.Error(), "503 Service Unavailable") || !strings.Contains(err.Error(), "config.json is missing") {
		t.Errorf("without files: %v", err)
	}
	if state := p.state(t); !strings.Contains(state, "tls.crt is missing") {
		t.Errorf("without files, the state is %s", state)
	}
	p.machine(t)
	p.mount(t)
	if err := p.exchange(echo); err != nil {
		t.Error(err)
	}
	if response, _, err := p.get("http://a.example/path"); err != nil || response.Header.Get("X-Url") != "http://a.example/path" || response.Header.Get("X-Protocol") != "HTTP/1.1" { //nolint:bodyclose // get has read it
		t.Errorf("plain HTTP: %v, %v", response, err)
	}
	if _, err := p.open(machinetest.DeniedTarget); err == nil || !strings.Contains(err.Error(), "403 Forbidden") {
		t.Errorf("a denied tunnel: %v", err)
	}
	if response, body, err := p.get("http://denied.example/"); err != nil || response.StatusCode != http.StatusForbidden || body != "denied" { //nolint:bodyclose // get has read it
		t.Errorf("a denied request: %v, %q, %v", response, body, err)
	}
	if response, _, err := p.get("http://unserved.example/"); err != nil || response.StatusCode != http.StatusServiceUnavailable { //nolint:bodyclose // get has read it
		t.Errorf("without Squid: %v, %v", response, err)
	}
	var got []string
	for _, l := range p.awaitLines(t, "a request was refused", 4) {
		got = append(got, l["target"].(string)+": "+l["reason"].(string))
		if cure, _ := l["cure"].(string); cure == "" {
			t.Errorf("%v has no cure", l)
		}
	}
	const denied = "the rules of the tenant do not permit the target"
	want := []string{
		echo + ": the sidecar has no usable files of the Secret egress-sidecar: config.json is missing; tls.crt is missing; tls.key is missing",
		machinetest.DeniedTarget + ": " + denied, "denied.example: " + denied,
		"unserved.example: the proxy does not run on any machine that answered",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("logged %q, want %q", got, want)
	}
	if state, want := p.state(t), `{"machines":{"`+p.config.Machines[0].Address.String()+`":"in use"}}`+"\n"; state != want {
		t.Errorf("the state is %s, want %s", state, want)
	}
	for _, want := range []string{
		names.MetricSidecarRequests + `{kind="tunnel",verdict="passed"} 1`, names.MetricSidecarTunnels + " 0",
		names.MetricSidecarSentBytes + " 1", names.MetricSidecarReceivedBytes + " 1", names.MetricSidecarConfigUsable + " 1",
	} {
		name, _, _ := strings.Cut(want, " ")
		// The sidecar sees the end of a connection later than its client.
		waitFor(t, "the metric is "+want, func() bool { return p.metric(t, name) == want })
	}
	p.stop(t)
	p.awaitEnd(t)
}

// TestProgramDrain: on SIGTERM the sidecar accepts no further connections, and ends when
// the last tunnel has.
func TestProgramDrain(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	p.machine(t)
	p.mount(t)
	open, err := p.open(machinetest.Target(t, machinetest.Echo))
	if err != nil {
		t.Fatal(err)
	}
	p.stop(t)
	waitFor(t, "no further connection is accepted", func() bool {
		connection, err := net.Dial("tcp", p.address) //nolint:noctx // loopback
		if err == nil {
			_ = connection.Close()
		}
		return err != nil
	})
	if err := open.echo(); err != nil {
		t.Errorf("the open tunnel: %v", err)
	}
	select {
	case err := <-p.ended:
		t.Fatalf("the sidecar did not wait for the tunnel: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	_ = open.Close()
	p.awaitEnd(t)
}

// TestProgramBoundsMetricsClients: at the bound, a further connection is closed, and those
// before it are served.
func TestProgramBoundsMetricsClients(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	waitFor(t, "the metrics are served", func() bool {
		client, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.metrics)
		if err == nil {
			_ = client.Close()
		}
		return err == nil
	})
	for range 5 { // on a busy machine, clients without a request may be closed for that before
		if p.boundsMetricsClients(t) {
			return
		}
	}
	t.Error("no connection is closed because of the bound alone")
}

// boundsMetricsClients reports whether one connection more than the bound is closed while
// those before it get their answers.
func (p *process) boundsMetricsClients(t *testing.T) bool {
	t.Helper()
	var clients []net.Conn
	for range mostMetricsClients + 1 {
		client, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.metrics)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = client.Close() }()
		_ = client.SetDeadline(time.Now().Add(time.Minute))
		clients = append(clients, client)
	}
	if _, err := clients[mostMetricsClients].Read(make([]byte, 1)); err == nil {
		t.Fatal("the connection above the bound got data without a request")
	}
	for _, client := range clients[:mostMetricsClients] {
		_, _ = client.Write([]byte("GET /metrics HTTP/1.1\r\nHost: pod\r\n\r\n"))
		response, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
	}
	return true
}
