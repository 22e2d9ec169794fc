package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"egress.scw/webhook/sidecar/internal/machinetest"
)

// TestTunnelByName: a connection to the address of a name is a tunnel to the name on the
// same port, and each direction ends by itself.
func TestTunnelByName(t *testing.T) {
	t.Parallel()
	port, web := machinetest.FreePort(t), machinetest.FreePort(t)
	f := start(t, testConfig(port, web))
	f.proxy.serve("db.example.com", port, server(t, func(conn *net.TCPConn) {
		defer conn.Close()
		data, _ := io.ReadAll(conn) // until the program ends its direction
		fmt.Fprintf(conn, "got %d bytes", len(data))
	}))
	conn := f.dial(t, "db.example.com", port)
	sent := strings.Repeat("x", 3<<20)
	if _, err := io.WriteString(conn, sent); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if want := fmt.Sprintf("got %d bytes", len(sent)); err != nil || string(answer) != want {
		t.Errorf("%q (%v), want %q", answer, err, want)
	}
	if got := f.proxy.tunnels(); !slices.Equal(got, []string{fmt.Sprintf("db.example.com:%d", port)}) {
		t.Errorf("tunnels to %q", got)
	}
	eventually(t, "the connection has ended", func() bool { return f.Stats().Connections == 0 })
}

// TestServerThatSpeaksFirst: nothing waits for the program to send something.
func TestServerThatSpeaksFirst(t *testing.T) {
	t.Parallel()
	port, web := machinetest.FreePort(t), machinetest.FreePort(t)
	f := start(t, testConfig(port, web))
	f.proxy.serve("ssh.example", port, server(t, func(conn *net.TCPConn) {
		_, _ = io.WriteString(conn, "SSH-2.0-test\r\n")
		_ = conn.CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}))
	conn := f.dial(t, "ssh.example", port)
	banner, err := io.ReadAll(conn)
	if err != nil || string(banner) != "SSH-2.0-test\r\n" {
		t.Errorf("%q: %v", banner, err)
	}
}

// connect connects to a captured name, reads, and returns the error. A connection that is
// reset at once may fail already while it is opened.
func connect(address func(string) (netip.Addr, error), name string, port uint16) error {
	captured, err := address(name)
	if err != nil {
		return err
	}
	return readFrom(netip.AddrPortFrom(captured, port).String())
}

func readFrom(address string) error {
	conn, err := net.DialTimeout("tcp", address, 30*time.Second) //nolint:noctx // loopback
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, err = conn.Read(make([]byte, 1))
	return err
}

// TestRefusedConnectionIsReset: the program sees a reset, and one log line has the name,
// the reason and the remedy.
func TestRefusedConnectionIsReset(t *testing.T) {
	t.Parallel()
	port, web := machinetest.FreePort(t), machinetest.FreePort(t)
	f := start(t, testConfig(port, web))
	if err := connect(f.address, "unlisted.example", port); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the program sees %v, want a reset", err)
	}
	eventually(t, "the refusal is logged", func() bool { return f.logs.String() != "" })
	lines := strings.Split(strings.TrimSpace(f.logs.String()), "\n")
	for _, part := range []string{"a captured connection has no tunnel", "name=unlisted.example", fmt.Sprintf("port=%d", port), "domain", "list the host in allow.domains"} {
		if len(lines) != 1 || !strings.Contains(lines[0], part) {
			t.Errorf("%d log lines, want one with %q:\n%s", len(lines), part, f.logs)
		}
	}
}

// TestServerThatResets: a reset of the server is a reset for the program, and not an end.
func TestServerThatResets(t *testing.T) {
	t.Parallel()
	port, web := machinetest.FreePort(t), machinetest.FreePort(t)
	f := start(t, testConfig(port, web))
	f.proxy.serve("a.example", port, server(t, func(conn *net.TCPConn) {
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}))
	conn := f.dial(t, "a.example", port)
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the program sees %v, want a reset", err)
	}
}

// TestPortOfTheApplication: a port on which a program of the pod listens on all addresses
// is left to it, also after the program has ended, and the other ports are served.
func TestPortOfTheApplication(t *testing.T) {
	t.Parallel()
	own, port := machinetest.FreePort(t), machinetest.FreePort(t)
	application, err := net.Listen("tcp", fmt.Sprintf(":%d", own)) //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	f := newCapture(t, testConfig(own, port))
	address := f.resolve(t, "a.example")
	_ = application.Close()
	f.resolve(t, "b.example")
	if application, err = net.Listen("tcp", fmt.Sprintf(":%d", own)); err != nil { //nolint:noctx // loopback
		t.Fatalf("the program cannot listen again: %v", err)
	}
	defer application.Close()
	if strings.Count(f.logs.String(), "a program of the pod listens on a port of the tenant") != 1 {
		t.Errorf("the log has no line, or several:\n%s", f.logs)
	}
	f.proxy.serve("a.example", port, server(t, func(conn *net.TCPConn) { _ = conn.Close() }))
	conn, err := net.Dial("tcp", netip.AddrPortFrom(address, port).String()) //nolint:noctx // loopback
	if err != nil {
		t.Fatalf("the other port is not served: %v", err)
	}
	_ = conn.Close()
}

// TestPortsOfThePod: ports that the pod declares are never listened on.
func TestPortsOfThePod(t *testing.T) {
	t.Parallel()
	own, port := machinetest.FreePort(t), machinetest.FreePort(t)
	config := testConfig(own, port)
	config.OwnPorts = []uint16{own}
	f := newCapture(t, config)
	f.resolve(t, "a.example")
	application, err := net.Listen("tcp", fmt.Sprintf(":%d", own)) //nolint:noctx // loopback
	if err != nil {
		t.Fatalf("the program cannot listen: %v", err)
	}
	defer application.Close()
	config.OwnPorts = config.Ports
	all := newCapture(t, config)
	if got := text(all.ask("a.example.", 1)); got != "SERVFAIL" || !strings.Contains(all.logs.String(), errNoPort.Error()) {
		t.Errorf("without a port that could be captured: %s\n%s", got, all.logs)
	}
}

// TestReloadOfPorts: names that have an address are served on the new ports, and no
// longer on the former ones.
func TestReloadOfPorts(t *testing.T) {
	t.Parallel()
	former, later := machinetest.FreePort(t), machinetest.FreePort(t)
	f := newCapture(t, testConfig(former))
	address := f.resolve(t, "a.example")
	for _, port := range []uint16{former, later} {
		f.proxy.serve("a.example", port, server(t, func(conn *net.TCPConn) { _ = conn.Close() }))
	}
	f.Reload(testConfig(later))
	for port, want := range map[uint16]bool{former: false, later: true} {
		conn, err := net.Dial("tcp", netip.AddrPortFrom(address, port).String()) //nolint:noctx // loopback
		if err == nil {
			_ = conn.Close()
		}
		if got := err == nil; got != want {
			t.Errorf("port %d accepts connections: %t (%v), want %t", port, got, err, want)
		}
	}
	if f.resolve(t, "a.example") != address {
		t.Error("the name has another address")
	}
}

// TestReloadKeepsTheBound: with more ports, fewer names have an address, so that there are
// not more listeners. The names that were used last, and those with a connection, keep
// theirs.
func TestReloadKeepsTheBound(t *testing.T) {
	t.Parallel()
	former := machinetest.FreePort(t)
	ports := []uint16{former, machinetest.FreePort(t), machinetest.FreePort(t), machinetest.FreePort(t)}
	f := newCapture(t, testConfig(former))
	for _, name := range []string{"n0.example", "n1.example"} {
		f.proxy.serve(name, former, server(t, func(conn *net.TCPConn) { _, _ = io.Copy(conn, conn) }))
	}
	const names = 200
	for i := range names {
		f.resolve(t, fmt.Sprintf("n%d.example", i))
		f.wait(time.Millisecond)
	}
	f.dial(t, "n0.example", former)
	f.dial(t, "n1.example", former)
	eventually(t, "the connections are open", func() bool { return f.Stats().Connections == 2 })
	f.Reload(testConfig(ports...))
	f.lock.Lock()
	listeners := mostListeners - f.room()
	f.lock.Unlock()
	if got, want := f.Stats().Names, mostListeners/len(ports); got != want || listeners != mostListeners {
		t.Errorf("%d names with %d listeners, want %d and %d", got, listeners, want, mostListeners)
	}
	for name, want := range map[string]bool{"n0.example": true, "n1.example": true, "n2.example": false, "n199.example": true} {
		if f.knows(name) != want {
			t.Errorf("%s has an address: %t, want %t", name, !want, want)
		}
	}
}

// TestNameThatLostItsPlace: its address refuses connections, and one that was on its way
// is reset.
func TestNameThatLostItsPlace(t *testing.T) {
	t.Parallel()
	port := machinetest.FreePort(t)
	f := newCapture(t, testConfig(port))
	f.table.most = 1
	address := f.resolve(t, "a.example")
	f.lock.Lock()
	former := f.table.byName["a.example"]
	f.lock.Unlock()
	f.wait(hold + time.Second)
	if f.resolve(t, "b.example") == address {
		t.Error("the address stands for another name at once")
	}
	if _, err := net.Dial("tcp", netip.AddrPortFrom(address, port).String()); !errors.Is(err, syscall.ECONNREFUSED) { //nolint:noctx // loopback
		t.Errorf("a connection to the former address: %v", err)
	}
	late := server(t, func(conn *net.TCPConn) { f.enter(former, port, conn) })
	if err := readFrom(late); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection that was on its way: %v", err)
	}
	if f.Stats().Connections != 0 || former.open != 0 {
		t.Errorf("%d connections, %d of the former entry", f.Stats().Connections, former.open)
	}
}

// TestConnectionsAreBounded: at the bound, a further one is reset, and the name of an open
// connection keeps its place.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	port := machinetest.FreePort(t)
	f := newCapture(t, testConfig(port))
	f.proxy.serve("a.example", port, server(t, func(*net.TCPConn) {}))
	first := f.dial(t, "a.example", port)
	eventually(t, "the connection is accepted", func() bool { return f.Stats().Connections == 1 })
	f.lock.Lock()
	for range mostConnections - 1 {
		f.conns[&connection{}] = struct{}{}
	}
	f.lock.Unlock()
	if err := connect(f.address, "a.example", port); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a further connection: %v", err)
	}
	f.lock.Lock()
	clear(f.conns)
	f.table.most = 1
	f.lock.Unlock()
	f.wait(time.Hour)
	if got := text(f.ask("b.example.", 1)); got != "SERVFAIL" {
		t.Errorf("another name took the place of one with a connection: %s", got)
	}
	_ = first.Close()
}

// TestShutdown: open connections may end, and are reset when the time is over. Nothing
// listens any longer.
func TestShutdown(t *testing.T) {
	t.Parallel()
	port, web := machinetest.FreePort(t), machinetest.FreePort(t)
	f := start(t, testConfig(port, web))
	f.proxy.serve("a.example", port, server(t, func(conn *net.TCPConn) { _, _ = io.Copy(conn, conn) }))
	conn := f.dial(t, "a.example", port)
	echo := func() error {
		if _, err := conn.Write([]byte("x")); err != nil {
			return err
		}
		_, err := conn.Read(make([]byte, 1))
		return err
	}
	if err := echo(); err != nil {
		t.Fatal(err)
	}
	address := f.resolve(t, "a.example")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Shutdown(ctx)
	}()
	eventually(t, "the listener is closed", func() bool {
		late, err := net.Dial("tcp", netip.AddrPortFrom(address, port).String()) //nolint:noctx // loopback
		if err == nil {
			_ = late.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if err := echo(); err != nil {
		t.Errorf("the open connection ended early: %v", err)
	}
	cancel()
	<-done
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the open connection: %v, want a reset", err)
	}
	if again := newCapture(t, testConfig(port)); again.Listen(t.Context(), []netip.AddrPort{netip.MustParseAddrPort(f.dns)}) != nil {
		t.Error("the address of the DNS server is still taken")
	}
}
