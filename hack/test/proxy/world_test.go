package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/internet"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/process"
)

// The network namespaces of these tests.
const (
	netnsInternet = network.TestPrefix + network.Internet
	netnsGateway  = network.TestPrefix + network.Gateway
	netnsNode     = network.TestPrefix + network.Node
)

// Addresses: the internet routes the flexible ones. The others are a Private
// Network whose Public Gateway masquerades.
const (
	privateNetwork  = "172.16.28.0/22"
	proxyAddress    = "172.16.28.8"
	gatewayPrivate  = "172.16.28.1"
	gatewayPublic   = "198.51.100.9"
	edgeRouter      = "203.0.113.254"
	sharedAddress   = "203.0.113.50"
	ownAddress      = "203.0.113.51"
	strictAddress   = "203.0.113.52"
	secondAddress   = "172.16.28.9" // of the second machine, as those that follow
	secondShared    = "203.0.113.60"
	secondOwn       = "203.0.113.61"
	secondStrict    = "203.0.113.62"
	nodeAddress     = "172.16.28.16"
	nameServer      = "192.0.2.53"
	echoAddress     = "192.0.2.10"
	spoofedAddress  = "192.0.2.66" // its PTR record falsely contains echoName
	packageServer   = "192.0.2.80"
	metadataAddress = "169.254.42.42"
	otherPort       = 8080 // of the echo service, for plain HTTP
	echoName        = "echo.example"
	packageName     = "packages.example"
)

// plan assigns these addresses.
func plan() network.Plan {
	address := netip.MustParseAddr
	return network.Plan{
		Prefix: network.TestPrefix, PrivateNetwork: netip.MustParsePrefix(privateNetwork),
		NodePrivate: address(nodeAddress), ProxyPrivate: address(proxyAddress), GatewayPrivate: address(gatewayPrivate),
		GatewayPublic: address(gatewayPublic), ProxyPublic: netip.PrefixFrom(address(sharedAddress), 24), MoreProxies: 1,
		Resolver: address(nameServer), Metadata: address(metadataAddress), Packages: address(packageServer),
		Echoes: []netip.Addr{address(echoAddress), address(spoofedAddress)},
	}
}

// gatewayRules count packets that reach the gateway from addresses outside of
// its network, before it masquerades those too.
const gatewayRules = `
table ip strays {
	counter stray { }
	chain prerouting {
		type filter hook prerouting priority -300;
		iifname "pn0" ip saddr != { 0.0.0.0, 172.16.28.0/22 } counter name stray
	}
	chain postrouting {
		type nat hook postrouting priority srcnat;
		oifname "pub0" masquerade
	}
}
`

// edgeRules let packets out only from the machines' own flexible addresses, as
// Scaleway does.
const edgeRules = `
table ip edge {
	counter spoofed { }
	chain prerouting {
		type filter hook prerouting priority -300;
		iifname "edge0" ip saddr != { 0.0.0.0, 203.0.113.50-203.0.113.52, 203.0.113.60-203.0.113.62 } counter name spoofed drop
	}
}
`

// world is the environment of machines.
type world struct {
	environment process.Environment
	image       machine.Image
	rootfs      machine.RootFS // of the image
	roots       *x509.CertPool
	servers     []*server               // a test has the second one only if it adds it
	ssh         bool                    // of the machines: whether they have SSH
	egress      cloudinit.SourceAddress // of the machines
	identity    cloudinit.Identity      // of the machines
	updates     string                  // the folder of updates for their packages
	eventLog    string                  // the file with the internet's events
	// logs receives the machine's audit log. Nil: there is no log server.
	logs *logReceiver
	// strangers counts the connections to the metadata service from ports that
	// root's programs on the machine do not use.
	strangers atomic.Int64
}

// setSquidConf publishes a value for squid.conf in the first machine's user data.
func (w *world) setSquidConf(value []byte) { w.servers[0].setSquidConf(value) }

// lockedEnvironment returns an environment for processes, while no other test has the
// names of the tests' machines.
func lockedEnvironment(t *testing.T) process.Environment {
	t.Helper()
	unlock, err := machine.LockTests()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unlock)
	environment, err := process.Temporary()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := environment.Remove(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return environment
}

// newWorld creates a world for a machine of an image. With SSH keys, its machine has SSH, and the owners of
// the keys may log in.
func newWorld(t *testing.T, image machine.Image, sshKeys ...string) *world {
	t.Helper()
	root := rootfs(t, image)
	environment := lockedEnvironment(t)
	removeNetwork := func() {
		if err := network.Down(context.Background(), plan()); err != nil {
			t.Error(err)
		}
	}
	removeNetwork()
	t.Cleanup(removeNetwork)
	if err := network.Up(t.Context(), plan()); err != nil {
		t.Fatal(err)
	}
	execute(t, gatewayRules, "ip", "netns", "exec", netnsGateway, "nft", "-f", "-")
	execute(t, edgeRules, "ip", "netns", "exec", netnsInternet, "nft", "-f", "-")

	w := &world{environment: environment, image: image, rootfs: root, servers: []*server{firstServer()}, ssh: len(sshKeys) > 0, updates: t.TempDir()}
	w.serveInternet(t)
	w.serve(t, metadataAddress+":80", &http.Server{Handler: w.metadata(sshKeys), ConnState: w.countStrangers})
	w.serve(t, packageServer+":80", &http.Server{Handler: w.packages()})
	return w
}

// packages serves the packages that machines install, and the updates below
// /updates. It is not a ServeMux: apt requests /./file, which a ServeMux
// redirects.
func (w *world) packages() http.Handler {
	all, updates := machine.Repository(w.rootfs), http.StripPrefix("/updates", http.FileServer(http.Dir(w.updates)))
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/updates/") {
			updates.ServeHTTP(rw, r)
			return
		}
		all.ServeHTTP(rw, r)
	})
}

func execute(t *testing.T, stdin string, argv ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), argv[0], argv[1:]...) // also when the test is over
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(argv, " "), err, out)
	}
	return string(out)
}

func (w *world) serveInternet(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	address := netip.MustParseAddr
	certificates, err := internet.CreateCertificates(folder, []string{echoName}, nil)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(certificates.CA)
	if err != nil {
		t.Fatal(err)
	}
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(authority)
	w.eventLog = filepath.Join(folder, "events")
	events, err := os.Create(w.eventLog)
	if err != nil {
		t.Fatal(err)
	}
	zone := internet.Zone{echoName: {address(echoAddress)}, packageName: {address(packageServer)}}
	maps.Copy(zone, auditZone())
	maps.Copy(zone, privateZone())
	maps.Copy(zone, handoverZone())
	maps.Copy(zone, failoverZone())
	config := internet.Config{
		Zone: zone, Rebinding: rebindingZone(), Pointers: map[netip.Addr]string{address(spoofedAddress): echoName},
		NameServers:  []netip.AddrPort{netip.AddrPortFrom(address(nameServer), 53)},
		HTTP:         []netip.AddrPort{netip.AddrPortFrom(address(echoAddress), 80), netip.AddrPortFrom(address(echoAddress), otherPort)},
		HTTPS:        []netip.AddrPort{netip.AddrPortFrom(address(echoAddress), 443)},
		Certificates: certificates,
		Control:      filepath.Join(folder, "control"),
		Events:       events,
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- machine.Within(netnsInternet, func() error { return internet.Serve(ctx, config) })
	}()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, events.Close()); err != nil {
			t.Error(err)
		}
	})
	for client := internet.NewClient(config.Control); client.Ready(t.Context()) != nil; time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatal(err)
		default:
		}
	}
}

// internetEvents returns the internet's events so far.
func (w *world) internetEvents(t *testing.T) []internet.Event {
	t.Helper()
	text, err := os.ReadFile(w.eventLog)
	if err != nil {
		t.Fatal(err)
	}
	var events []internet.Event
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // still being written
		}
		var event internet.Event
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatalf("not an event: %v: %s", err, line)
		}
		events = append(events, event)
	}
	return events
}

func (w *world) countStrangers(conn net.Conn, state http.ConnState) {
	from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if state == http.StateNew && (err != nil || from.Port() >= 1024) {
		w.strangers.Add(1)
	}
}

func (w *world) serve(t *testing.T, address string, server *http.Server) {
	t.Helper()
	var listener net.Listener
	if err := machine.Within(netnsInternet, func() (err error) {
		listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	server.ReadHeaderTimeout = time.Minute // of a client on a busy machine
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

// connection is a connection to a port of the proxy, from the node.
type connection struct {
	net.Conn
	reader *bufio.Reader
}

// dial connects to a port that answers, or refuses, a SYN or one of its first repetitions
// (after 1, 3 and 7 s).
func dial(ctx context.Context, from, address string) (*connection, error) {
	return dialFor(ctx, 10*time.Second, from, address)
}

// reach connects to a port of the first machine that must answer. While Squid reads its file,
// which takes longer on a busy machine, SYNs get no answer, and the kernel repeats them.
func reach(ctx context.Context, port int) (*connection, error) {
	return dialFor(ctx, time.Minute, netnsNode, fmt.Sprintf("%s:%d", proxyAddress, port))
}

// dialFor is dial for a time.
func dialFor(ctx context.Context, timeout time.Duration, from, address string) (*connection, error) {
	var conn net.Conn
	err := machine.Within(from, func() (err error) {
		dialer := net.Dialer{Timeout: timeout}
		conn, err = dialer.DialContext(ctx, "tcp", address)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &connection{conn, bufio.NewReader(conn)}, conn.SetDeadline(time.Now().Add(time.Minute))
}

// answer is the answer to a request.
type answer struct {
	status           int
	revision, origin string
}

func (c *connection) ask(method, target, host string) (answer, error) {
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", method, target, host); err != nil {
		return answer{}, err
	}
	response, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	result := answer{status: response.StatusCode, revision: response.Header.Get("X-Egress-Revision")}
	if method == http.MethodConnect && response.StatusCode == http.StatusOK {
		return result, nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	var echo struct{ Origin string }
	if json.Unmarshal(bytes.TrimSpace(body), &echo) == nil {
		result.origin = echo.Origin
	}
	return result, nil
}

// get requests a URL from the proxy over HTTP.
func get(ctx context.Context, port int, target string) (answer, error) {
	conn, err := reach(ctx, port)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	return conn.ask(http.MethodGet, target, echoName)
}

// tunnel opens a tunnel through the proxy, and TLS in it.
func (w *world) tunnel(ctx context.Context, port int) (*connection, error) {
	conn, err := reach(ctx, port)
	if err != nil {
		return nil, err
	}
	got, err := conn.ask(http.MethodConnect, echoName+":443", echoName+":443")
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("CONNECT: status %d", got.status)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	client := tls.Client(conn.Conn, &tls.Config{RootCAs: w.roots, ServerName: echoName})
	return &connection{client, bufio.NewReader(client)}, client.HandshakeContext(ctx)
}
