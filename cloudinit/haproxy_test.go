package cloudinit

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// sidecarMachine is a machine on a loopback address of its own, with an authority and
// tenants client-a (port 3129) and client-b (3130).
type sidecarMachine struct {
	*machineRoot
	machine   Machine
	authority *testAuthority
	// squid is the address of the Squid that the tests imitate.
	squid netip.Addr
	log   string
}

func newSidecarMachine(t *testing.T) *sidecarMachine {
	t.Helper()
	a, b := byte(mathrand.IntN(256)), byte(1+mathrand.IntN(254))
	machine := validMachine()
	machine.Identity = IdentityOffered
	machine.PrivateAddress, machine.PrivateNetwork = netip.AddrFrom4([4]byte{127, 77, a, b}), netip.MustParsePrefix("127.0.0.0/8")
	m := &sidecarMachine{newMachineRoot(t, machine), machine, newTestAuthority(t), netip.AddrFrom4([4]byte{127, 76, a, b}), ""}
	m.log = m.path(sidecarLog)
	m.machine.Authority = m.authority.pem
	m.imitate()
	return m
}

// imitate installs the other programs of the machine.
func (m *sidecarMachine) imitate() {
	m.program("systemctl")
	// A container that was started 1,234.56 s after its kernel.
	m.write("/proc/stat", "cpu 1 2 3\nbtime 1795000000\n")
	m.write("/proc/1/stat", "1 (init (a)) S 0 1 1 0 -1 4194560 5 6 7 8 9 10 11 12 20 0 1 0 123456 14 15\n")
	m.program("journalctl", "echo '<4>egress-sync: refused, the old squid.conf stays: it \"has\" a fault'")
	m.program("squid", "echo 'Squid Cache: Version 6.13'")
	m.program("ss", "cat "+m.path("connected")+" 2> /dev/null || true")
	m.program("ip", `echo "$4 via 192.0.2.1 dev ens2 src 192.0.2.2 uid 0"`)
	m.program("curl", `while [ $# -gt 1 ]; do [ "$1" != --data-binary ] || cp "${2#@}" `+m.path("sent")+`; shift; done
[ ! -e `+m.path("silent")+` ] || { echo "no response" >&2; exit 7; }`)
}

// serve makes a squid.conf with these tenants the one in use, and runs egress-sidecars.
func (m *sidecarMachine) serve(tenants ...v1alpha1.Tenant) string {
	m.t.Helper()
	conf, err := SquidConf(m.machine, tenants, Addresses{Shared: netip.MustParseAddr("203.0.113.50")})
	if err != nil {
		m.t.Fatal(err)
	}
	value, err := EncodeSquidConf(conf)
	if err != nil {
		m.t.Fatal(err)
	}
	return m.use(conf, value)
}

// drain makes the drained form of the squid.conf in use the one in use.
func (m *sidecarMachine) drain() {
	m.t.Helper()
	value, err := DrainedSquidConf([]byte(m.read("/run/egress/value")))
	if err != nil {
		m.t.Fatal(err)
	}
	conf, err := DecodeSquidConf(value)
	if err != nil {
		m.t.Fatal(err)
	}
	m.use(conf, value)
}

// use makes a squid.conf the one in use, and runs egress-sidecars.
func (m *sidecarMachine) use(conf, value []byte) string {
	m.t.Helper()
	m.write(liveConf, string(conf))
	m.write(previousConf, string(conf))
	m.write("/run/egress/value", string(value))
	live := exec.CommandContext(m.t.Context(), "sh", "-c", `sha256sum "$1/value" "$2" > "$1/live"`, "sh", m.path("/run/egress"), m.path(liveConf))
	if output, err := live.CombinedOutput(); err != nil {
		m.t.Fatalf("%v: %s", err, output)
	}
	if !m.machine.Identity.Sidecars() {
		return ""
	}
	return m.run("egress-sidecars")
}

func sidecarTenant(name string, port int32) v1alpha1.Tenant {
	return v1alpha1.Tenant{Name: name, EgressTenantSpec: v1alpha1.EgressTenantSpec{Proxy: &v1alpha1.TenantProxy{Port: port}}}
}

// start runs HAProxy with the machine's file until the test ends, and returns a
// function that makes it read the file again.
func (m *sidecarMachine) start() (reload func()) {
	m.t.Helper()
	binary := haproxyBinary(m.t)
	file := m.path("/haproxy.cfg")
	write := func() {
		m.t.Helper()
		text := strings.ReplaceAll(m.read(sidecarConf), "/etc/egress/", m.dir+"/etc/egress/")
		text = strings.ReplaceAll(text, sidecarAddress.String(), m.squid.String())
		text = regexp.MustCompile(`(?m)^    (chroot|user|group) .*\n`).ReplaceAllString(text, "") // need the rights of root
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			m.t.Fatal(err)
		}
	}
	write()
	log, err := os.OpenFile(m.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	var messages strings.Builder
	// Fewer descriptors than its connections need.
	command := exec.CommandContext(m.t.Context(), "sh", "-c", `ulimit -n 1000; exec "$@"`, "sh", binary, "-W", "-f", file)
	command.Stdout, command.Stderr = log, &messages
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 20 * time.Second
	if err := command.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		_ = command.Wait() // its status is that of the signal
		if m.t.Failed() {
			m.t.Logf("messages of HAProxy:\n%s\nits log:\n%s", messages.String(), m.read(sidecarLog))
		}
	})
	m.await("HAProxy listens", func() bool {
		connection, err := (&net.Dialer{Timeout: time.Second}).DialContext(m.t.Context(), "tcp", m.address())
		if err == nil {
			connection.Close()
		}
		return err == nil
	})
	return func() {
		m.t.Helper()
		write()
		if err := command.Process.Signal(syscall.SIGUSR2); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *sidecarMachine) address() string {
	return netip.AddrPortFrom(m.machine.PrivateAddress, names.SidecarPort).String()
}

func (m *sidecarMachine) await(what string, done func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("not within a minute: %s", what)
		}
	}
}

func haproxyBinary(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"haproxy", "/usr/sbin/haproxy"} {
		if file, err := exec.LookPath(name); err == nil {
			return file
		}
	}
	t.Skip("skipped: there is no haproxy on this machine (Debian: apt install haproxy)")
	return ""
}

// client returns a transport of a sidecar with a certificate, which it sends whatever
// the machine asks for. The protocol is h2 or http/1.1.
func (m *sidecarMachine) client(certificate *tls.Certificate, protocol string) *http.Transport {
	m.t.Helper()
	config := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}}
	if certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: protocol == "h2"}
	if protocol != "h2" {
		transport.Proxy = http.ProxyURL(&url.URL{Scheme: "https", Host: m.address()})
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetHTTP1(true)
	}
	m.t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// tunnel opens a tunnel. The result repeats a word through it.
func (m *sidecarMachine) tunnel(transport *http.Transport, target string) (repeat func(string) error, status int, reason string, err error) {
	m.t.Helper()
	reader, writer := io.Pipe()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	m.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://"+m.address(), reader)
	if err != nil {
		m.t.Fatal(err)
	}
	request.Host = target
	request.Header.Set(names.HeaderTenant, "client-z")
	request.Header.Set(names.HeaderPod, "web-0")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, 0, "", err
	}
	m.t.Cleanup(func() { _ = response.Body.Close() })
	answers := bufio.NewReader(response.Body)
	return func(word string) error {
		if _, err := io.WriteString(writer, word+"\n"); err != nil {
			return err
		}
		answer, err := answers.ReadString('\n')
		if err == nil && answer != word+"\n" {
			err = fmt.Errorf("%q for %q", answer, word)
		}
		return err
	}, response.StatusCode, response.Header.Get("X-Egress-Reason"), nil
}

// logged waits for the lines of the log that match.
func (m *sidecarMachine) logged(count int, pattern string) {
	m.t.Helper()
	line := regexp.MustCompile(`(?m)^` + pattern + `$`)
	m.await(fmt.Sprintf("%d lines %s in %s", count, pattern, filepath.Base(m.log)), func() bool {
		return len(line.FindAllString(m.read(sidecarLog), -1)) >= count
	})
}
