package squid

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// Limits of our configuration's cost, as a multiple of another configuration's.
const (
	maxCPUOfBare    = 1.5 // for each request, with 50 tenants
	maxCPUOfDomains = 1.1 // for each request, with 10,000 domains instead of 50
	maxMemoryOfBare = 1.3 // with 1,000 idle tunnels
)

const (
	benchTenants = 50
	benchDomains = 200 // of each tenant
	benchClients = 8
	idleTunnels  = 1000
)

// BenchmarkAgainstBare compares our configuration with one that allows
// everything: one port, no rules, Squid's own log.
func BenchmarkAgainstBare(b *testing.B) {
	site := startSite(b)
	ours, bare := startOurs(b, site, oneDomain), startBare(b, site)
	requireAudited(b, site, ours)
	b.Run("CONNECT", func(b *testing.B) { compareCPU(b, site.tunnel, ours, bare, maxCPUOfBare) })
	b.Run("GET", func(b *testing.B) { compareCPU(b, site.get, ours, bare, maxCPUOfBare) })
}

// BenchmarkDomains compares the same requests with tenants that list 200 domains
// each and with tenants that list one domain for all hosts.
func BenchmarkDomains(b *testing.B) {
	site := startSite(b)
	many, few := startOurs(b, site, everyDomain), startOurs(b, site, oneDomain)
	b.Run("CONNECT", func(b *testing.B) { compareCPU(b, site.tunnel, many, few, maxCPUOfDomains) })
	b.Run("GET", func(b *testing.B) { compareCPU(b, site.get, many, few, maxCPUOfDomains) })
}

// BenchmarkIdleTunnels compares the memory of Squids that have only idle tunnels
// open.
func BenchmarkIdleTunnels(b *testing.B) {
	site := startSite(b)
	ours, bare := startOurs(b, site, oneDomain), startBare(b, site)
	for b.Loop() {
		var before, after [2]float64
		for i, squid := range []benchSquid{ours, bare} {
			before[i] = squid.memory(b)
			tunnels := site.open(b, squid, idleTunnels)
			after[i] = squid.memory(b)
			for _, tunnel := range tunnels {
				tunnel.Close()
			}
		}
		ratio := after[0] / after[1]
		b.ReportMetric(after[0], "MiB/ours")
		b.ReportMetric(after[1], "MiB/bare")
		b.ReportMetric(after[0]-before[0], "MiB-tunnels/ours")
		b.ReportMetric(after[1]-before[1], "MiB-tunnels/bare")
		b.ReportMetric(ratio, "×bare")
		if ratio > maxMemoryOfBare {
			b.Errorf("%.2f times the memory of the bare configuration, want at most %.1f", ratio, maxMemoryOfBare)
		}
	}
	b.ReportMetric(0, "ns/op") // ns/op would measure the opening of tunnels
}

// BenchmarkReconfigure measures how long Squid does not answer new connections
// while it rereads its configuration, with 10,000 domains.
func BenchmarkReconfigure(b *testing.B) {
	const rounds = 5
	site := startSite(b)
	squid := startOurs(b, site, everyDomain)
	for b.Loop() {
		var gaps []float64
		var refused int
		for range rounds {
			gap, count := squid.reconfigure(b)
			gaps, refused = append(gaps, gap.Seconds()*1000), refused+count
		}
		b.ReportMetric(median(gaps), "ms-median")
		b.ReportMetric(slices.Max(gaps), "ms-longest")
		b.ReportMetric(float64(refused)/rounds, "refused")
	}
	b.ReportMetric(0, "ns/op") // ns/op would mostly measure waiting
}

// compareCPU fails the benchmark if the CPU time of a request to one Squid
// exceeds this multiple of the CPU time of a request to the other. The two
// alternate, so that other load on the machine slows both.
func compareCPU(b *testing.B, ask func(context.Context, benchSquid, int) (int, error), ours, other benchSquid, limit float64) {
	const rounds = 21
	for _, squid := range []benchSquid{ours, other} {
		squid.cpuPerRequest(b, ask) // opens connections and fills caches beforehand
	}
	for b.Loop() {
		var oursTook, otherTook, ratios []float64
		for range rounds {
			one, two := ours.cpuPerRequest(b, ask), other.cpuPerRequest(b, ask)
			oursTook, otherTook, ratios = append(oursTook, one), append(otherTook, two), append(ratios, one/two)
		}
		ratio := median(ratios)
		b.ReportMetric(median(oursTook), "µs-CPU/"+ours.name)
		b.ReportMetric(median(otherTook), "µs-CPU/"+other.name)
		b.ReportMetric(ratio, "×"+other.name)
		if ratio > limit {
			b.Errorf("%.2f times the CPU time of %s, want at most %.1f", ratio, other.name, limit)
		}
	}
	b.ReportMetric(0, "ns/op") // the ns/op of both together is meaningless
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// site is the destination of the benchmarks' requests: two origins on loopback,
// one with TLS. All names resolve to their address.
type site struct {
	port, tlsPort int
	hosts         string // the content of a hosts file
}

func startSite(b *testing.B) site {
	b.Helper()
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "reached") })
	plain, encrypted := httptest.NewServer(answer), httptest.NewUnstartedServer(answer)
	encrypted.Config.ErrorLog = log.New(io.Discard, "", 0) // discards the errors of tunnels that end without a TLS shutdown
	encrypted.StartTLS()
	b.Cleanup(plain.Close)
	b.Cleanup(encrypted.Close)
	var hosts strings.Builder
	for tenant := range benchTenants {
		for i := range benchDomains {
			fmt.Fprintln(&hosts, "127.0.0.1", benchHost(tenant, i))
		}
	}
	return site{
		port:    plain.Listener.Addr().(*net.TCPAddr).Port,
		tlsPort: encrypted.Listener.Addr().(*net.TCPAddr).Port,
		hosts:   hosts.String(),
	}
}

// benchHost returns one of the hosts that a tenant requests.
func benchHost(tenant, i int) string { return fmt.Sprintf("h%d.customer-%d.example", i, tenant) }

// oneDomain and everyDomain are lists of domains that cover a tenant's hosts.
func oneDomain(tenant int) []string { return []string{fmt.Sprintf(".customer-%d.example", tenant)} }

func everyDomain(tenant int) []string {
	var list []string
	for i := range benchDomains {
		list = append(list, []string{"", "."}[i%2]+benchHost(tenant, i))
	}
	return list
}

// benchSquid is a Squid with one port, or with one port for each tenant.
type benchSquid struct {
	name string
	squidProcess
	proxy   Config
	tenants []v1alpha1.Tenant // one tenant, if there is only one port
}

// startOurs runs Squid with our configuration. The origins are on loopback, on
// arbitrary ports. Both are removed from the lists of forbidden values, while
// the rules stay.
func startOurs(b *testing.B, site site, domains func(tenant int) []string) benchSquid {
	b.Helper()
	proxy := liveProxy(b)
	var tenants []v1alpha1.Tenant
	for i := range benchTenants {
		tenants = append(tenants, withAllow(fmt.Sprintf("t%d", i), int32(names.TenantPortMin+i), &v1alpha1.AllowSpec{
			Domains: domains(i), Ports: []int32{80, 443, int32(site.port), int32(site.tlsPort)},
		}))
	}
	file, err := Render(proxy, tenants)
	if err != nil {
		b.Fatal(err)
	}
	for _, list := range []string{"acl forbidden_address dst -n ", "acl forbidden_destination dst "} {
		file = replaceOnce(b, file, list+"127.0.0.0/8\n", list+"127.0.0.0/32\n")
	}
	file = replaceOnce(b, file, "acl tls_port port 443\n", fmt.Sprintf("acl tls_port port 443 %d\n", site.tlsPort))
	file = replaceOnce(b, file, "hosts_file none\n", "hosts_file "+site.writeHosts(b, proxy)+"\n")
	name := "50-domains"
	if len(domains(0)) > 1 {
		name = "10000-domains"
	}
	return benchSquid{name, startFile(b, proxy, file), proxy, tenants}
}

// startBare runs Squid with a minimal working configuration.
func startBare(b *testing.B, site site) benchSquid {
	b.Helper()
	proxy := liveProxy(b)
	file := fmt.Sprintf(`http_port %s:%d
http_port 127.0.0.1:%d
http_access allow all
cache deny all
pinger_enable off
hosts_file %s
dns_nameservers %s
access_log daemon:%s squid
cache_log %s
pid_filename %s
coredump_dir none
`, proxy.ListenAddress, names.TenantPortMin, proxy.ManagerPort, site.writeHosts(b, proxy), proxy.NameServers[0], proxy.AuditLog, proxy.CacheLog, proxy.PIDFile)
	return benchSquid{"bare", startFile(b, proxy, []byte(file)), proxy, []v1alpha1.Tenant{newTenant("everybody", names.TenantPortMin)}}
}

func (s site) writeHosts(b *testing.B, proxy Config) string {
	b.Helper()
	name := filepath.Join(filepath.Dir(proxy.AuditLog), "hosts")
	if err := os.WriteFile(name, []byte(s.hosts), 0o644); err != nil {
		b.Fatal(err)
	}
	return name
}

// connect opens a connection to a tenant's port.
func (s benchSquid) connect(ctx context.Context, tenant int) (net.Conn, error) {
	return connectTo(ctx, s.proxy, s.tenants[tenant%len(s.tenants)])
}

// tunnel opens tunnels for a tenant, one after the other, with TLS and one
// request in each. It returns their number.
func (s site) tunnel(ctx context.Context, squid benchSquid, tenant int) (int, error) {
	const count = 8
	for i := range count {
		tunnel, err := s.openTLS(ctx, squid, tenant, i*benchDomains/count)
		if err != nil {
			return 0, err
		}
		if err := exchangeInside(tunnel); err != nil {
			return 0, err
		}
	}
	return count, nil
}

func exchangeInside(tunnel net.Conn) error {
	defer tunnel.Close()
	if _, err := io.WriteString(tunnel, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(tunnel)
	if err == nil && !strings.HasSuffix(string(answer), "reached") {
		err = fmt.Errorf("in the tunnel: %q", answer)
	}
	return err
}

// openTLS opens a tunnel and TLS in it.
func (s site) openTLS(ctx context.Context, squid benchSquid, tenant, host int) (net.Conn, error) {
	connection, err := squid.connect(ctx, tenant)
	if err != nil {
		return nil, err
	}
	name := benchHost(tenant, host)
	status, err := openTunnel(connection, net.JoinHostPort(name, strconv.Itoa(s.tlsPort)))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("CONNECT %s: status %d", name, status)
	}
	secured := tls.Client(connection, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err == nil {
		err = secured.HandshakeContext(ctx)
	}
	if err != nil {
		connection.Close()
		return nil, err
	}
	return secured, nil
}

// get sends requests of a tenant on one connection and returns their number.
func (s site) get(ctx context.Context, squid benchSquid, tenant int) (int, error) {
	const count = 40
	connection, err := squid.connect(ctx, tenant)
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for i := range count {
		host := net.JoinHostPort(benchHost(tenant, i*benchDomains/count), strconv.Itoa(s.port))
		if _, err := fmt.Fprintf(connection, "GET http://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n", host, host); err != nil {
			return 0, err
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return 0, err
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || string(body) != "reached" {
			return 0, fmt.Errorf("GET %s: status %d, %w", host, response.StatusCode, err)
		}
	}
	return count, nil
}

// cpuPerRequest has clients send requests for every tenant. It returns Squid's
// CPU time for each request in microseconds, helpers included.
func (s benchSquid) cpuPerRequest(b *testing.B, ask func(context.Context, benchSquid, int) (int, error)) float64 {
	b.Helper()
	before := s.cpu(b)
	var requests [benchTenants]int
	var clients sync.WaitGroup
	for client := range benchClients {
		clients.Go(func() {
			for tenant := client; tenant < benchTenants; tenant += benchClients {
				count, err := ask(b.Context(), s, tenant)
				if err != nil {
					b.Errorf("%s: %v", s.name, err)
				}
				requests[tenant] = count
			}
		})
	}
	clients.Wait()
	if b.Failed() {
		b.FailNow()
	}
	sum := 0
	for _, count := range requests {
		sum += count
	}
	return float64(s.cpu(b)-before) / float64(time.Microsecond) / float64(sum)
}

// requireAudited checks that the benchmark measures the claimed work: Squid
// inspects the SNI in tunnels and writes verdicts.
func requireAudited(b *testing.B, site site, squid benchSquid) {
	b.Helper()
	count, err := site.tunnel(b.Context(), squid, 0)
	if err != nil {
		b.Fatal(err)
	}
	for _, record := range readAudit(b, squid.proxy.AuditLog, count) {
		if record.Verdict != policy.VerdictAllowed || record.SNI != record.Host {
			b.Fatalf("not as it is with an allow list: %+v", record)
		}
	}
}

// open opens tunnels of all tenants and leaves them idle.
func (s site) open(b *testing.B, squid benchSquid, count int) []net.Conn {
	b.Helper()
	var tunnels []net.Conn
	for i := range count {
		tunnel, err := s.openTLS(b.Context(), squid, i%benchTenants, i/benchTenants)
		if err == nil {
			err = tunnel.SetDeadline(time.Time{})
		}
		if err != nil {
			b.Fatal(err)
		}
		tunnels = append(tunnels, tunnel)
	}
	return tunnels
}

// reconfigure has Squid reread its file while clients open one connection after
// the other. It returns the time from the first unanswered connection to the
// last, and the number of unanswered connections.
func (s benchSquid) reconfigure(b *testing.B) (time.Duration, int) {
	b.Helper()
	const reopened = "Accepting "
	before := s.messages(b, reopened)
	done, stop := context.WithCancel(b.Context())
	defer stop()
	var unanswered [benchClients][]time.Time // start and end of each
	var answered [benchClients]int
	var clients sync.WaitGroup
	for client := range benchClients {
		clients.Go(func() {
			for done.Err() == nil {
				began := time.Now()
				switch {
				case s.answers(done, client):
					answered[client]++
				case done.Err() == nil: // and not just cancelled by stop
					unanswered[client] = append(unanswered[client], began, time.Now())
				}
			}
		})
	}
	command := exec.CommandContext(b.Context(), s.command[0], append(s.command[1:], "-k", "reconfigure")...)
	if output, err := command.CombinedOutput(); err != nil {
		b.Errorf("squid -k reconfigure: %v\n%s", err, output)
	}
	// Every port is reopened: the tenants' ports and the manager's.
	for deadline := time.Now().Add(time.Minute); s.messages(b, reopened) < before+len(s.tenants)+1; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Error("squid does not open its ports again")
			break
		}
	}
	stop()
	clients.Wait()
	if slices.Contains(answered[:], 0) {
		b.Errorf("answered: %v", answered)
	}
	all := slices.Concat(unanswered[:]...)
	if len(all) == 0 {
		return 0, 0
	}
	return slices.MaxFunc(all, time.Time.Compare).Sub(slices.MinFunc(all, time.Time.Compare)), len(all) / 2
}

// answers reports whether Squid answers on a new connection, with any answer.
func (s benchSquid) answers(ctx context.Context, tenant int) bool {
	connection, err := s.connect(ctx, tenant)
	if err != nil {
		return false
	}
	defer connection.Close()
	_, _ = io.WriteString(connection, "GET http://10.0.0.1/ HTTP/1.1\r\nHost: 10.0.0.1\r\nConnection: close\r\n\r\n")
	answer, _ := io.ReadAll(connection)
	return strings.HasPrefix(string(answer), "HTTP/1.1 403 ")
}

// messages counts Squid's own messages that contain these words.
func (s benchSquid) messages(b *testing.B, words string) int {
	b.Helper()
	text, err := os.ReadFile(s.proxy.CacheLog)
	if err != nil {
		b.Fatal(err)
	}
	return strings.Count(string(text), words)
}

// processes returns the folders of Squid and its helpers in /proc.
func (s squidProcess) processes(b *testing.B) []string {
	b.Helper()
	self := fmt.Sprintf("/proc/%d", s.pid)
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		b.Fatal(err)
	}
	return slices.DeleteFunc(folders, func(folder string) bool {
		status, _ := os.ReadFile(folder + "/status") // fails for a process that has just ended
		return folder != self && !strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", s.pid))
	})
}

// cpu is the CPU time of Squid and its helpers, in user mode and in system mode.
// schedstat has the sum of both in nanoseconds, whereas /proc/PID/stat has each
// in units of 10 ms.
func (s squidProcess) cpu(b *testing.B) time.Duration {
	b.Helper()
	var sum time.Duration
	for _, folder := range s.processes(b) {
		threads, err := filepath.Glob(folder + "/task/*/schedstat")
		if err != nil || len(threads) == 0 {
			b.Fatalf("%s: no threads: %v", folder, err)
		}
		for _, thread := range threads {
			text, err := os.ReadFile(thread)
			if err != nil {
				b.Fatal(err)
			}
			var nanoseconds time.Duration
			if _, err := fmt.Sscan(string(text), (*int64)(&nanoseconds)); err != nil {
				b.Fatalf("%s: %v", thread, err)
			}
			sum += nanoseconds
		}
	}
	return sum
}

// memory is the resident set size (RSS) of Squid and its helpers, in MiB.
func (s squidProcess) memory(b *testing.B) float64 {
	b.Helper()
	sum := 0.0
	for _, folder := range s.processes(b) {
		text, err := os.ReadFile(folder + "/status")
		if err != nil {
			b.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "\nVmRSS:")
		var kilobytes float64
		if _, err := fmt.Sscan(rest, &kilobytes); err != nil {
			b.Fatalf("%s: %v", folder, err)
		}
		sum += kilobytes / 1024
	}
	return sum
}
