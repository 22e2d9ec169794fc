package squid

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/api/v1alpha1"
)

// Limits of the sidecar's cost.
const (
	// CPU time of a tunnel with TLS and a request inside. HAProxy that only copies the
	// bytes of a TCP connection, without TLS and HTTP, is the floor: it needs 0.4 to 0.5
	// times Squid's time.
	maxSidecarOfFloor = 2.5
	maxHAProxyOfFloor = 1.8
	minBulkOfPlain    = 0.4 // throughput of one tunnel
	maxAddedLatency   = 300 * time.Microsecond
	maxAddedByFirst   = 5 * time.Millisecond // by the first tunnel of a pod
	maxIdleMemory     = 10.0                 // MiB
	maxTunnelMemory   = 16.0                 // KiB of an idle tunnel
	maxSquidMemory    = 1.1                  // for an idle tunnel, of that of the plain port
)

// BenchmarkSidecar compares requests through the sidecar, HAProxy and Squid with
// requests to the tenant's port of the same Squid.
func BenchmarkSidecar(b *testing.B) {
	site := startBulkSite(b)
	squid := startOurs(b, site, oneDomain)
	program := buildSidecar(b)
	chain := startChain(b, squid, program)
	b.Run("CPU", func(b *testing.B) { chain.compareCPU(b, site) })
	b.Run("Bulk", func(b *testing.B) { chain.compareBulk(b, site) })
	b.Run("Latency", func(b *testing.B) { chain.compareLatency(b, site) })
	b.Run("First", func(b *testing.B) { chain.compareFirst(b, site, program) })
	b.Run("Memory", func(b *testing.B) { chain.measureMemory(b, site, program) })
}

// bulk is the size of the answer to /bulk.
const bulk = 256 << 20

// startBulkSite is startSite with an origin that keeps connections, and has a large
// answer.
func startBulkSite(b *testing.B) site {
	b.Helper()
	s := startSite(b)
	origin := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/bulk" {
			fmt.Fprint(w, "reached")
			return
		}
		block := make([]byte, 256<<10)
		for range bulk / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	origin.Config.ErrorLog = log.New(io.Discard, "", 0)
	origin.StartTLS()
	b.Cleanup(origin.Close)
	s.tlsPort = origin.Listener.Addr().(*net.TCPAddr).Port
	return s
}

// chain is a sidecar and a HAProxy in front of a Squid. All requests are the first
// tenant's.
type chain struct {
	squid   benchSquid
	haproxy squidProcess
	sidecar benchSquid // the sidecar's port, as if it were Squid's
}

// startFloor returns a HAProxy that copies the bytes of each connection to the first
// tenant's port.
func startFloor(b *testing.B, squid benchSquid) benchSquid {
	b.Helper()
	listen := freeAddress(b)
	file := filepath.Join(b.TempDir(), "haproxy.cfg")
	config := fmt.Sprintf(`
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
listen squid
    bind %s
    source %s
    server squid %s:%d
`, listen, squid.proxy.ListenAddress, squid.proxy.ListenAddress, squid.tenants[0].Proxy.Port)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	return asSquid("floor", listen, startListening(b, listen, "haproxy", "-db", "-f", file))
}

// asSquid returns a relay as if it were a Squid with one tenant.
func asSquid(name, address string, process squidProcess) benchSquid {
	listen := netip.MustParseAddrPort(address)
	return benchSquid{name, process, Config{ListenAddress: listen.Addr()}, []v1alpha1.Tenant{newTenant("client-a", int32(listen.Port()))}}
}

// buildSidecar returns the path of the program, built as in its image.
func buildSidecar(b *testing.B) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "sidecar")
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "egress.scw/webhook/sidecar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, output)
	}
	return program
}

func startChain(b *testing.B, squid benchSquid, program string) chain {
	b.Helper()
	if _, err := exec.LookPath("haproxy"); err != nil {
		b.Skip("skipped: there is no haproxy on this machine (Debian: apt install haproxy)")
	}
	folder := b.TempDir()
	write := func(name string, content []byte) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			b.Fatal(err)
		}
		return file
	}
	machine, machineKey := selfSigned(b, pkix.Name{CommonName: "egress-proxy"})
	tenant, tenantKey := selfSigned(b, pkix.Name{CommonName: squid.tenants[0].Name, Organization: []string{names.CertificateOrganization}})
	address, listen := freeAddress(b), freeAddress(b)
	config := fmt.Sprintf(`
global
    ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets
    tune.h2.max-concurrent-streams 1000
defaults
    mode http
    option http-no-delay
    http-reuse never
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    timeout tunnel 10m
frontend sidecars
    bind %s ssl crt %s ca-file %s verify required alpn h2,http/1.1
    default_backend squid
backend squid
    source %s
    server squid %s:%d
`, address, write("machine.pem", append(machine, machineKey...)), write("ca.pem", tenant), squid.proxy.ListenAddress, squid.proxy.ListenAddress, squid.tenants[0].Proxy.Port)
	file, err := sidecar.Marshal(&sidecar.Config{
		Tenant: squid.tenants[0].Name, Machines: []sidecar.Machine{{Address: netip.MustParseAddrPort(address), Certificate: string(machine)}},
	})
	if err != nil {
		b.Fatal(err)
	}
	write(names.SidecarConfigKey, file)
	write(names.SidecarCertificateKey, tenant)
	write(names.SidecarPrivateKeyKey, tenantKey)
	return chain{
		squid:   squid,
		haproxy: startListening(b, address, "haproxy", "-db", "-f", write("haproxy.cfg", []byte(config))),
		sidecar: asSquid("sidecar", listen, startListening(b, listen, program, "run", "--config", folder, "--listen", listen, "--metrics", freeAddress(b))),
	}
}

// startListening starts a program, and returns when it listens.
func startListening(b *testing.B, address, program string, args ...string) squidProcess {
	b.Helper()
	process := exec.CommandContext(context.WithoutCancel(b.Context()), program, args...)
	process.Env = append(os.Environ(), names.EnvPodNamespace+"=shop", names.EnvPodName+"=web-1")
	if err := process.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	for range 600 {
		if connection, err := new(net.Dialer).DialContext(b.Context(), "tcp", address); err == nil {
			connection.Close()
			return squidProcess{pid: process.Process.Pid}
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.Fatalf("%s does not listen", program)
	return squidProcess{}
}

func freeAddress(b *testing.B) string {
	b.Helper()
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// selfSigned returns a certificate and its key in PEM.
func selfSigned(b *testing.B, subject pkix.Name) (certificate, key []byte) {
	b.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		b.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		b.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// compareCPU fails if the sidecar or HAProxy need too much of the floor's CPU time for
// the same tunnels.
func (c chain) compareCPU(b *testing.B, s site) {
	const rounds = 15
	floor := startFloor(b, c.squid)
	for b.Loop() {
		spent := map[string][]float64{}
		for range rounds {
			s.spend(b, spent, c.sidecar, map[string]squidProcess{"sidecar": c.sidecar.squidProcess, "haproxy": c.haproxy, "squid": c.squid.squidProcess})
			s.spend(b, spent, floor, map[string]squidProcess{"floor": floor.squidProcess})
		}
		for name := range spent {
			b.ReportMetric(median(spent[name]), "µs-CPU/"+name)
		}
		for name, limit := range map[string]float64{"sidecar": maxSidecarOfFloor, "haproxy": maxHAProxyOfFloor} {
			ratio := median(spent[name]) / median(spent["floor"])
			b.ReportMetric(ratio, "×floor/"+name)
			b.ReportMetric(median(spent[name])/median(spent["squid"]), "×squid/"+name)
			if ratio > limit {
				b.Errorf("%s: %.2f times the floor's CPU time of a tunnel (%.0f µs), want at most %.1f", name, ratio, median(spent["floor"]), limit)
			}
		}
	}
	b.ReportMetric(0, "ns/op") // of everything together
}

// spend opens tunnels by a relay, and adds the processes' CPU times of one, in
// microseconds.
func (s site) spend(b *testing.B, spent map[string][]float64, by benchSquid, processes map[string]squidProcess) {
	b.Helper()
	before := map[string]time.Duration{}
	for name, process := range processes {
		before[name] = process.cpu(b)
	}
	total := 0
	for range 10 {
		count, err := s.tunnel(b.Context(), by, 0)
		if err != nil {
			b.Fatal(err)
		}
		total += count
	}
	for name, process := range processes {
		spent[name] = append(spent[name], float64(process.cpu(b)-before[name])/float64(time.Microsecond)/float64(total))
	}
}

// openFirst opens a tunnel with TLS to the first tenant's origin.
func (s site) openFirst(b *testing.B, by benchSquid) net.Conn {
	b.Helper()
	connection, err := s.openTLS(b.Context(), by, 0, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { connection.Close() })
	_ = connection.SetDeadline(time.Time{})
	return connection
}

// compareBulk fails if a tunnel through the sidecar is too slow.
func (c chain) compareBulk(b *testing.B, s site) {
	throughput := func(by benchSquid) float64 {
		connection := s.openFirst(b, by)
		defer connection.Close()
		start := time.Now()
		fmt.Fprint(connection, "GET /bulk HTTP/1.0\r\n\r\n")
		n, err := io.Copy(io.Discard, connection)
		if err != nil || n < bulk {
			b.Fatalf("%d bytes, %v", n, err)
		}
		return float64(n) / (1 << 20) / time.Since(start).Seconds()
	}
	for b.Loop() {
		var through, plain []float64
		for range 5 {
			through, plain = append(through, throughput(c.sidecar)), append(plain, throughput(c.squid))
		}
		ratio := median(through) / median(plain)
		b.ReportMetric(median(through), "MiB/s-sidecar")
		b.ReportMetric(median(plain), "MiB/s-plain")
		b.ReportMetric(ratio, "×plain")
		if ratio < minBulkOfPlain {
			b.Errorf("%.2f times the throughput of the plain port, want at least %.1f", ratio, minBulkOfPlain)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// compareLatency fails if a request in an open tunnel takes too much longer.
func (c chain) compareLatency(b *testing.B, s site) {
	const requests = 2000
	exchange := func(connection net.Conn) float64 {
		start := time.Now()
		fmt.Fprint(connection, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		answer := make([]byte, 4096)
		if _, err := connection.Read(answer); err != nil {
			b.Fatal(err)
		}
		return float64(time.Since(start))
	}
	through, plain := s.openFirst(b, c.sidecar), s.openFirst(b, c.squid)
	for b.Loop() {
		var one, two []float64
		for range requests { // by turns, so that other load slows both
			one, two = append(one, exchange(through)), append(two, exchange(plain))
		}
		added := time.Duration(median(one) - median(two))
		b.ReportMetric(float64(added.Microseconds()), "µs-added-p50")
		if added > maxAddedLatency {
			b.Errorf("%s more than the plain port, want at most %s", added, maxAddedLatency)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// compareFirst fails if the first tunnel of a sidecar takes too much longer.
func (c chain) compareFirst(b *testing.B, s site, program string) {
	const rounds = 9
	took := func(by benchSquid) float64 {
		start := time.Now()
		defer s.openFirst(b, by).Close()
		return float64(time.Since(start))
	}
	for b.Loop() {
		var through, plain []float64
		for range rounds {
			fresh := startChain(b, c.squid, program)
			through, plain = append(through, took(fresh.sidecar)), append(plain, took(c.squid))
		}
		added := time.Duration(median(through) - median(plain))
		b.ReportMetric(float64(added.Microseconds())/1000, "ms-added-first")
		if added > maxAddedByFirst {
			b.Errorf("the first tunnel takes %s more than on the plain port, want at most %s", added, maxAddedByFirst)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// measureMemory fails if the sidecar holds too much, idle or with idle tunnels, or if
// Squid holds more for tunnels of sidecars than for those of its tenant's port.
func (c chain) measureMemory(b *testing.B, s site, program string) {
	for b.Loop() {
		plain := startOurs(b, s, oneDomain)
		ofPlain := s.holdTunnels(b, plain, plain.squidProcess)["squid"]
		fresh := startChain(b, startOurs(b, s, oneDomain), program)
		time.Sleep(time.Second)
		idle := fresh.sidecar.memory(b)
		held := s.holdTunnels(b, fresh.sidecar, fresh.squid.squidProcess)
		b.ReportMetric(idle, "MiB-idle")
		b.ReportMetric(held["relay"], "KiB/tunnel")
		b.ReportMetric(held["squid"]/ofPlain, "×plain-squid")
		if idle > maxIdleMemory || held["relay"] > maxTunnelMemory {
			b.Errorf("%.1f MiB idle and %.1f KiB for each idle tunnel, want at most %.0f and %.0f", idle, held["relay"], maxIdleMemory, maxTunnelMemory)
		}
		if held["squid"] > maxSquidMemory*ofPlain {
			b.Errorf("Squid holds %.1f KiB for each idle tunnel of sidecars, and %.1f for one of its port, want at most %.1f times as much", held["squid"], ofPlain, maxSquidMemory)
		}
	}
	b.ReportMetric(0, "ns/op")
}

// holdTunnels opens idle tunnels, and returns the memory that the relay and Squid hold
// for each, in KiB.
func (s site) holdTunnels(b *testing.B, by benchSquid, squid squidProcess) map[string]float64 {
	b.Helper()
	// Buffers and tables that do not grow with tunnels.
	s.openFirst(b, by).Close()
	processes := map[string]squidProcess{"relay": by.squidProcess, "squid": squid}
	before := map[string]float64{}
	for name, process := range processes {
		before[name] = process.memory(b)
	}
	var tunnels []net.Conn
	for range idleTunnels {
		connection, err := s.openTLS(b.Context(), by, 0, 0)
		if err != nil {
			b.Fatal(err)
		}
		tunnels = append(tunnels, connection)
	}
	held := map[string]float64{}
	for name, process := range processes {
		held[name] = (process.memory(b) - before[name]) * 1024 / idleTunnels
	}
	for _, connection := range slices.Backward(tunnels) {
		connection.Close()
	}
	return held
}
