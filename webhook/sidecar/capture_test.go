package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/sidecar/internal/machinetest"
)

// TestProgramCapture: a connection to a name becomes a tunnel to the name, and a refused
// one is reset with a log line. Names of the cluster alone are asked of the cluster's DNS.
func TestProgramCapture(t *testing.T) {
	t.Parallel()
	port, own := machinetest.FreePort(t), machinetest.FreePort(t)
	p := startProcess(t, names.EnvPodPorts+"="+strconv.Itoa(int(own)))
	machine, cluster := captures(t, p, port, own)
	target := func(name string) string { return net.JoinHostPort(name, strconv.Itoa(int(port))) }
	machine.Reach(target("db.example.com"), machinetest.Target(t, machinetest.Echo))

	connection, err := p.dial(t, "db.example.com", port)
	if err != nil {
		t.Fatal(err)
	}
	if err := (&tunnel{connection, bufio.NewReader(connection)}).echo(); err != nil {
		t.Error(err)
	}
	if got := p.metric(t, names.MetricSidecarTunnels); got != names.MetricSidecarTunnels+" 1" {
		t.Errorf("the metric is %s", got)
	}
	if got := p.metric(t, names.MetricSidecarCapturedNames); got != names.MetricSidecarCapturedNames+" 1" {
		t.Errorf("the metric is %s", got)
	}
	if got, rcode := p.ask(t, "db.example.com.", dns.TypeAAAA); got != nil || rcode != "NOERROR" {
		t.Errorf("the addresses of IPv6 are %v, %s", got, rcode)
	}
	if _, err := p.dial(t, "db.example.com", own); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection to a port of the pod's own programs: %v", err)
	}

	refused, err := p.dial(t, "unlisted.invalid", port)
	if err == nil {
		_, err = refused.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a refused connection: %v, want a reset", err)
	}
	l := p.awaitLines(t, "a captured connection has no tunnel", 1)[0]
	if l["name"] != "unlisted.invalid" || l["port"] != float64(port) || l["reason"] != "the proxy could not reach the target (ERR_CONNECT_FAIL)" || l["cure"] == "" {
		t.Errorf("logged %v", l)
	}

	if asked := cluster.asked.Load(); asked != 0 {
		t.Errorf("the cluster's DNS was asked %d times for captured names", asked)
	}
	if got, _ := p.ask(t, clusterName, dns.TypeA); len(got) != 1 || got[0] != clusterAddress {
		t.Errorf("the cluster's name has the addresses %v", got)
	}
	if _, rcode := p.ask(t, "intranet.corp.example.", dns.TypeA); rcode != "NXDOMAIN" || cluster.asked.Load() < 2 {
		t.Errorf("%s for a name without the proxy, %d questions", rcode, cluster.asked.Load())
	}
	if got := p.state(t); !strings.Contains(got, `"capture":"in use"`) {
		t.Errorf("the state is %s", got)
	}
}

// TestProgramCapturedAnswer: a target that answers, ends, and reads no more is a clean end
// for the program, which gets the whole answer, although it goes on to send.
func TestProgramCapturedAnswer(t *testing.T) {
	t.Parallel()
	port := machinetest.FreePort(t)
	p := startProcess(t)
	machine, _ := captures(t, p, port)
	answer := strings.Repeat("answer", 30_000)
	ended := make(chan struct{})
	machine.Reach(fmt.Sprintf("a.example.com:%d", port), machinetest.Target(t, func(c *net.TCPConn) {
		_, _ = c.Read(make([]byte, 7))
		_, _ = io.WriteString(c, answer)
		_ = c.Close()
		ended <- struct{}{}
	}))
	for range 2 {
		connection, err := p.dial(t, "a.example.com", port)
		if err != nil {
			t.Fatal(err)
		}
		_ = connection.SetReadBuffer(4 << 10) // most of the answer waits in the sidecar's socket
		for _, text := range []string{"request", "more"} {
			if _, err := io.WriteString(connection, text); err != nil {
				t.Fatal(err)
			}
			if text == "request" {
				<-ended
			}
			time.Sleep(100 * time.Millisecond) // the sidecar knows of it
		}
		_ = connection.SetReadBuffer(1 << 20)
		if got, err := io.ReadAll(connection); err != nil || string(got) != answer {
			t.Fatalf("%d bytes of %d, %v", len(got), len(answer), err)
		}
		_ = connection.Close()
	}
}

// TestProgramCaptureOfPlainHTTP: the proxy gets the URL of a request on port 80.
func TestProgramCaptureOfPlainHTTP(t *testing.T) {
	t.Parallel()
	if listener, err := net.Listen("tcp", "127.128.0.1:80"); err != nil { //nolint:noctx // loopback
		t.Skipf("skipped: the port of plain HTTP cannot be listened on here: %v", err)
	} else {
		_ = listener.Close()
	}
	p := startProcess(t)
	captures(t, p, 80)
	connection, err := p.dial(t, "a.example.com", 80)
	if err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(connection)
	for range 2 { // on one connection
		fmt.Fprint(connection, "GET /path HTTP/1.1\r\nHost: a.example.com\r\n\r\n")
		response, err := http.ReadResponse(reader, nil) //nolint:bodyclose // the connection is closed
		if err != nil {
			t.Fatal(err)
		}
		if got := response.Header.Get("X-Url") + " " + response.Header.Get("X-Claimed"); got != "http://a.example.com/path shop/web-1" {
			t.Errorf("the proxy got %s", got)
		}
		_, _ = io.Copy(io.Discard, response.Body)
	}
	p.stop(t) // the connection waits for a request: it is closed
	p.awaitEnd(t)
}
