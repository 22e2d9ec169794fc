package tunnel_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"egress.scw/webhook/sidecar/internal/machinetest"
	"egress.scw/webhook/sidecar/tunnel"
)

// connect starts a machine, and connects to it.
func connect(t *testing.T) (*tunnel.Conn, *machinetest.Machine) {
	t.Helper()
	authority := machinetest.NewAuthority(t)
	server, machine := machinetest.Start(t, authority)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(machine.Certificate))
	raw, err := tls.Dial("tcp", machine.Address.String(), &tls.Config{ //nolint:noctx // loopback
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{*authority.TenantPair(t, "client-a")},
	})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tunnel.New(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn, server
}

func open(t *testing.T, conn *tunnel.Conn, target string) *tunnel.Stream {
	t.Helper()
	stream, err := conn.Open(t.Context(), target, http.Header{}, time.Minute) // the machine, of this process, may answer late
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stream.Close() })
	return stream
}

// TestDataInBothDirections: more data than the windows passes unchanged in many
// tunnels at the same time.
func TestDataInBothDirections(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	echo := machinetest.Target(t, machinetest.Echo)
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	var all sync.WaitGroup
	for range 10 {
		stream := open(t, conn, echo)
		all.Go(func() {
			if _, err := stream.ReadFrom(bytes.NewReader(data)); err != nil {
				t.Error(err)
			}
			if err := stream.CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		all.Go(func() {
			var got bytes.Buffer
			if _, err := stream.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), data) {
				t.Errorf("got %d bytes, %v, want the %d that were sent", got.Len(), err, len(data))
			}
		})
	}
	all.Wait()
	waitFor(t, "all streams are forgotten", func() bool { return conn.Streams() == 0 })
}

// TestHalfClose: a target answers when it has read everything.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	stream := open(t, conn, machinetest.Target(t, func(c *net.TCPConn) {
		all, _ := io.ReadAll(c)
		_, _ = c.Write(bytes.ToUpper(all))
	}))
	if _, err := stream.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(stream); err != nil || string(got) != "ABC" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := stream.Write([]byte("late")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("data behind the end: %v", err)
	}
}

// TestResetIsNoEnd: a tunnel that is reset returns its data and an error.
func TestResetIsNoEnd(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	stream := open(t, conn, machinetest.ResetTarget)
	if got, err := io.ReadAll(stream); err == nil || string(got) != "some data" {
		t.Errorf("%q, %v, want the data and an error", got, err)
	}
}

// TestRefusal: the answer comes back with its header and body.
func TestRefusal(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	stream := open(t, conn, machinetest.DeniedTarget)
	body, err := io.ReadAll(stream)
	if stream.Status != http.StatusForbidden || stream.Header.Get("X-Squid-Error") != "ERR_ACCESS_DENIED 0" || string(body) != "denied" || err != nil {
		t.Errorf("%d, %v, %q, %v", stream.Status, stream.Header, body, err)
	}
}

// TestClientThatDoesNotRead: its tunnel holds a window of data, and others go on.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	conn, _ := connect(t)
	sent := make(chan int, 1)
	open(t, conn, machinetest.Target(t, func(c *net.TCPConn) {
		_ = c.SetWriteDeadline(time.Now().Add(2 * time.Second))
		n, _ := io.Copy(c, zeros{})
		sent <- int(n)
	}))
	// Beside the window: buffers of the server and of two sockets in the kernel.
	if n := <-sent; n > 16<<20 {
		t.Errorf("the target could send %d bytes to a client that reads nothing", n)
	}
	other := open(t, conn, machinetest.Target(t, machinetest.Echo))
	if _, err := other.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(other, make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestLeavingMachine: a machine that stops ends no tunnel, and gets no further one.
func TestLeavingMachine(t *testing.T) {
	t.Parallel()
	conn, server := connect(t)
	stream := open(t, conn, machinetest.Target(t, machinetest.Echo))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_ = server.Config.Shutdown(ctx) // sends GOAWAY, and waits in vain for the tunnel
	waitFor(t, "the connection takes no streams", func() bool { return !conn.Usable() })
	if _, err := conn.Open(t.Context(), "a.example:443", nil, time.Second); !errors.Is(err, tunnel.ErrUnusable) {
		t.Errorf("a further tunnel: %v", err)
	}
	if _, err := stream.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stream, make([]byte, 1)); err != nil {
		t.Errorf("the open tunnel: %v", err)
	}
	_ = stream.Close()
	waitFor(t, "the connection ends with its last tunnel", func() bool { return conn.Err() != nil })
}

// TestUntrustedClient: a machine that refuses the certificate is no connection. In TLS
// 1.3 the client's handshake ends before the machine has seen the certificate.
func TestUntrustedClient(t *testing.T) {
	t.Parallel()
	_, machine := machinetest.Start(t, machinetest.NewAuthority(t))
	raw, err := tls.Dial("tcp", machine.Address.String(), &tls.Config{ //nolint:noctx // loopback
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"h2"},
		Certificates: []tls.Certificate{*machinetest.NewAuthority(t).TenantPair(t, "client-a")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := tunnel.New(t.Context(), raw); err == nil {
		t.Errorf("%v, accepted", conn)
	}
}

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in vain waited until %s", what)
		}
	}
}
