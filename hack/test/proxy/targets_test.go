package proxy

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/internet"
	"egress.scw/hack/local/machine"
)

// Addresses behind the proxy's public NIC: only the proxy keeps tenants from
// these addresses.
var (
	privateAddresses = []string{"10.9.8.7", "100.64.9.7", "172.20.9.7", "192.168.77.7", "198.18.9.7"}
	// The IPv6 forms contain 10.9.8.7: NAT64, 6to4, Teredo. The first
	// address is Scaleway's metadata service.
	privateAddresses6 = []string{"fd00:42::42", "64:ff9b::a09:807", "2002:a09:807::1", "2001:0:a09:807::1"}
)

// IPv6 networks between the machine and the internet, for this test only: a
// user's machine has no IPv6 route.
const (
	machine6  = "2001:db8:1::2"
	internet6 = "2001:db8:1::1"
)

// target is a destination that no tenant may reach. Its server runs, and counts
// connections.
type target struct {
	address netip.Addr
	port    uint16
	count   *atomic.Int64
}

func (t target) String() string { return netip.AddrPortFrom(t.address, t.port).String() }

// reach is the positive control: root on the machine connects to the target,
// which must answer.
func (t target) reach(ctx context.Context, vm *machine.VM) error {
	var conn net.Conn
	if err := vm.Within(func() (err error) {
		conn, err = (&net.Dialer{Timeout: 30 * time.Second}).DialContext(ctx, "tcp", t.String())
		return err
	}); err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && len(answer) == 0 {
		err = errors.New("no answer")
	}
	return err
}

// targetsMark is in the answer of every target except the metadata service.
const targetsMark = "a target was reached"

// listen counts connections to an address, of a namespace, until the test ends.
func listen(t *testing.T, within func(func() error) error, address string, count *atomic.Int64) {
	t.Helper()
	var listener net.Listener
	if err := within(func() (err error) {
		listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			go func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // of a client on a busy machine
				_, _ = conn.Read(make([]byte, 4096))                   // otherwise the kernel resets the connection
				_, _ = io.WriteString(conn, "HTTP/1.0 200 OK\r\n\r\n"+targetsMark+"\n")
			}()
		}
	}()
}

// targets opens all targets: on the node, the gateway, the machine itself, and
// behind its public NIC.
func (w *world) targets(t *testing.T, vm *machine.VM) []target {
	t.Helper()
	var all []target
	add := func(within func(func() error) error, address string, ports ...uint16) {
		for _, port := range ports {
			to := target{netip.MustParseAddr(address), port, new(atomic.Int64)}
			listen(t, within, to.String(), to.count)
			all = append(all, to)
		}
	}
	namespace := func(name string) func(func() error) error {
		return func(fn func() error) error { return machine.Within(name, fn) }
	}
	add(namespace(netnsNode), nodeAddress, 80, 443)
	add(namespace(netnsGateway), gatewayPrivate, 80, 443)
	for _, own := range []string{"127.0.0.1", "::1", proxyAddress, sharedAddress} {
		add(vm.Within, own, 80, 443)
	}
	for _, address := range privateAddresses {
		execute(t, "", "ip", "-n", netnsInternet, "address", "replace", address+"/32", "dev", "lo")
		add(namespace(netnsInternet), address, 80, 443)
	}
	// Behind the gateway, only the metadata service is read through the
	// public NIC.
	if w.egress == cloudinit.SourceFlexibleIP {
		w.connectIPv6(t, vm)
		for _, address := range privateAddresses6 {
			execute(t, "", "ip", "-n", netnsInternet, "address", "replace", address+"/128", "dev", "lo", "nodad")
			add(namespace(netnsInternet), address, 80, 443)
		}
		add(vm.Within, ownAddress, 80, 443)
	}
	w.strangers.Store(0)
	add(namespace(netnsInternet), metadataAddress, 443)
	all = append(all, target{netip.MustParseAddr(metadataAddress), 80, &w.strangers})
	// Ports that these tenants do not have, one of which no tenant may
	// have; and FTP.
	add(namespace(netnsInternet), echoAddress, 21, 22, 25, 8443)
	// A public address that no list contains.
	add(namespace(netnsInternet), spoofedAddress, 80, 443)
	return all
}

// connectIPv6 gives the machine an IPv6 route to the internet. Without a route,
// unreached targets would not prove that the proxy denies them.
func (w *world) connectIPv6(t *testing.T, vm *machine.VM) {
	t.Helper()
	execute(t, "", "ip", "-n", netnsInternet, "address", "replace", internet6+"/64", "dev", "edge0", "nodad")
	in(t, vm, "ip", "address", "replace", machine6+"/64", "dev", "ens2", "nodad")
	in(t, vm, "ip", "-6", "route", "replace", "default", "via", internet6, "dev", "ens2")
	t.Cleanup(func() {
		for _, argv := range [][]string{{"ip", "-6", "route", "del", "default", "via", internet6, "dev", "ens2"}, {"ip", "address", "del", machine6 + "/64", "dev", "ens2"}} {
			if _, err := vm.Exec(context.Background(), argv...); err != nil {
				t.Error(err)
			}
		}
	})
}

// notReached fails the test if a target has received a connection since the last
// reset. Its own control connections come after all earlier ones, so that every
// earlier connection has arrived and is counted. It resets the counts.
func notReached(t *testing.T, vm *machine.VM, targets []target) {
	t.Helper()
	for _, to := range targets {
		if err := to.reach(t.Context(), vm); err != nil {
			t.Errorf("%s cannot be reached at all, so the test has no control: %v", to, err)
		}
		if count := to.count.Swap(0); count != 1 {
			t.Errorf("%s: %d connections besides that of the control", to, count-1)
		}
	}
}

// spellings are the notations of an IPv4 address, alone and within IPv6.
func spellings(address netip.Addr) []string {
	b := address.As4()
	n := binary.BigEndian.Uint32(b[:])
	hexadecimal := fmt.Sprintf("%x:%x", n>>16, n&0xffff)
	return []string{
		address.String(), address.String() + ".", fmt.Sprint(n), fmt.Sprintf("0x%x", n), fmt.Sprintf("0X%08X", n), fmt.Sprintf("0%o", n),
		fmt.Sprintf("0x%x.0x%x.0x%x.0x%x", b[0], b[1], b[2], b[3]), fmt.Sprintf("0%o.0%o.0%o.0%o", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%d.%d.%d", b[0], b[1], n&0xffff), fmt.Sprintf("%d.%d", b[0], n&0xffffff), fmt.Sprintf("0x%x.0%o.%d", b[0], b[1], n&0xffff),
		"[::ffff:" + address.String() + "]", "[::ffff:" + hexadecimal + "]", "[0:0:0:0:0:FFFF:" + hexadecimal + "]", "[::" + address.String() + "]",
		"[64:ff9b::" + hexadecimal + "]", "[2002:" + hexadecimal + "::1]", "[2001:0:" + hexadecimal + "::1]",
	}
}

// privateZone are names of forbidden destinations, in the lists of tenants that
// have one.
func privateZone() internet.Zone {
	zone := internet.Zone{
		"both.private.example":  {netip.MustParseAddr(echoAddress), netip.MustParseAddr(privateAddresses[0])},
		"mixed.private.example": {netip.MustParseAddr(echoAddress), netip.MustParseAddr(privateAddresses6[0])},
	}
	for _, text := range allPrivate() {
		zone[privateName(text)] = []netip.Addr{netip.MustParseAddr(text)}
	}
	return zone
}

// rebinding is the number of names whose address changes.
const rebinding = 24

func rebindingName(i int) string { return fmt.Sprintf("n%d.rebind.example", i) }

// rebindingZone are names that resolve to the echo service, then to a forbidden
// destination, and so on, or in the other order. Some begin with an address
// that refuses tunnels, which may make Squid try another.
func rebindingZone() internet.Zone {
	zone := internet.Zone{}
	private := []string{privateAddresses[0], metadataAddress, "127.0.0.1", nodeAddress}
	for i := range rebinding {
		addresses := []netip.Addr{netip.MustParseAddr(echoAddress), netip.MustParseAddr(private[i%len(private)])}
		if i%5 == 4 {
			addresses[0] = netip.MustParseAddr(packageServer)
		}
		if i%3 == 2 {
			addresses[0], addresses[1] = addresses[1], addresses[0]
		}
		zone[rebindingName(i)] = addresses
	}
	return zone
}

// allPrivate are the addresses of all forbidden targets.
func allPrivate() []string {
	all := []string{nodeAddress, gatewayPrivate, proxyAddress, "127.0.0.1", "::1", metadataAddress}
	return append(append(all, privateAddresses...), privateAddresses6...)
}

func privateName(address string) string {
	return strings.NewReplacer(".", "-", ":", "-").Replace("a"+address) + ".private.example"
}
