package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/cloudinit"
	"egress.scw/cloudinit/squid"
	"egress.scw/hack/local/internet"
	"egress.scw/hack/local/machine"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// auditedRequests is the number of requests for which TestProxy compares the
// audit log with the origin's observations.
const auditedRequests = 1000

// audited is one of these requests. Its host is unique and identifies its line
// of the audit log. Its path identifies the origin's observation.
type audited struct {
	tenant       v1alpha1.Tenant
	method, host string
	port         uint16
	// sni is the SNI in a tunnel to port 443. Empty: no TLS.
	sni string
	// path is the requested path, inside the tunnel if it is one.
	path string
}

// auditedLine are the expected fields of its line.
type auditedLine struct {
	Tenant, Port, Client, Method, Host, HostPort, SNI string
	Verdict                                           policy.Verdict
	Rule                                              policy.Rule
	Egress                                            string
}

// Kinds of hosts. All except the last two are subdomains of names in the lists.
const (
	hostListed  = "r%04d.listed.example"
	hostMissing = "r%04d.missing.listed.example" // does not exist
	hostPrivate = "r%04d.private.example"        // has a private address
	hostOther   = "r%04d.other.example"
	hostLiteral = "10.201.%d.%d"
)

// auditZone are the names of all possible requests.
func auditZone() internet.Zone {
	zone := internet.Zone{}
	for i := range auditedRequests {
		zone[fmt.Sprintf(hostListed, i)] = []netip.Addr{netip.MustParseAddr(echoAddress)}
		zone[fmt.Sprintf(hostOther, i)] = []netip.Addr{netip.MustParseAddr(echoAddress)}
		zone[fmt.Sprintf(hostPrivate, i)] = []netip.Addr{netip.MustParseAddr(nodeAddress)}
	}
	return zone
}

func makeAudited(random *rand.Rand, tenant v1alpha1.Tenant, i int) audited {
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	r := audited{tenant: tenant, path: fmt.Sprintf("/status/204?r=%04d", i)}
	r.method = pick("GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "CONNECT", "CONNECT", "CONNECT", "CONNECT", "CONNECT", "CONNECT")
	if kind := pick(hostListed, hostListed, hostListed, hostOther, hostOther, hostMissing, hostPrivate, hostLiteral); kind == hostLiteral {
		r.host = fmt.Sprintf(kind, i/250, 1+i%250)
	} else {
		r.host = fmt.Sprintf(kind, i)
	}
	if r.method != http.MethodConnect {
		r.port = []uint16{80, 80, 80, 80, 80, 80, otherPort, 25}[random.IntN(8)]
		return r
	}
	r.port = []uint16{443, 443, 443, 443, 443, 443, 443, 80, otherPort, 25}[random.IntN(10)]
	if r.port == 443 {
		r.sni = pick(r.host, r.host, "x.listed.example", "x.other.example", "")
		if _, err := netip.ParseAddr(r.sni); err == nil {
			r.sni = "" // an address cannot be an SNI
		}
	}
	return r
}

// expected returns the expected line of the audit log, and whether the request
// must reach the origin.
func (r audited) expected() (auditedLine, bool) {
	line := auditedLine{
		Tenant: r.tenant.Name, Port: fmt.Sprint(r.tenant.Proxy.Port), Client: nodeAddress, Method: r.method, Host: r.host, HostPort: fmt.Sprint(r.port),
		SNI: "-", Egress: "-",
	}
	list := r.tenant.AllowList()
	decision := list.Decide(r.method, r.host, r.port)
	if decision.Verdict != policy.VerdictDenied && strings.Contains(r.host, ".private.") {
		decision = policy.Decision{Verdict: policy.VerdictDenied, Rule: policy.RuleForbiddenDestination}
	}
	passes := decision.Verdict != policy.VerdictDenied
	if passes && r.sni != "" && list.Mode != policy.ModeOpen {
		line.SNI = r.sni
		inside := list.Decide(r.method, r.sni, r.port)
		switch {
		case decision.Verdict != policy.VerdictAllowed || inside.Verdict == policy.VerdictAllowed:
		case list.Mode == policy.ModeReport:
			decision = policy.Decision{Verdict: policy.VerdictWouldDeny, Rule: policy.RuleSNI}
		default:
			decision = policy.Decision{Verdict: policy.VerdictTerminated, Rule: policy.RuleSNI}
			passes = false
		}
	}
	line.Verdict, line.Rule = decision.Verdict, decision.Rule
	if line.Rule == "" {
		line.Rule = "-"
	}
	arrives := passes && !strings.Contains(r.host, ".missing.")
	if arrives {
		line.Egress = firstServer().addressOf(r.tenant)
	}
	return line, arrives
}

// checkAudit sends many different requests, of all tenants at once, and
// compares the audit log with the decisions of the policy package and with the
// origin's observations.
func (w *world) checkAudit(t *testing.T, vm *machine.VM, tenants []v1alpha1.Tenant) {
	const seed, clients = 11, 20
	random := rand.New(rand.NewPCG(seed, 0))
	mark, seen := markAuditLog(t, vm), len(w.internetEvents(t))
	requests := make([]audited, auditedRequests)
	shares := make([][]audited, clients)
	for i := range requests {
		client := i % clients
		requests[i] = makeAudited(random, tenants[client%len(tenants)], i)
		shares[client] = append(shares[client], requests[i])
	}
	began := time.Now()
	var running sync.WaitGroup
	for i, share := range shares {
		running.Go(func() {
			client := plainClient{port: int(share[0].tenant.Proxy.Port), keep: i/len(tenants)%2 == 0}
			defer client.close()
			for _, r := range share {
				if err := r.send(t.Context(), &client); err != nil {
					t.Errorf("%+v: %v", r, err)
				}
			}
		})
	}
	running.Wait()
	t.Logf("%d requests in %s", len(requests), time.Since(began).Round(time.Millisecond))

	lines := byHost(t, vm, mark, len(requests))
	arrived := byPath(w.internetEvents(t)[seen:])
	decisions := map[policy.Decision]int{}
	for _, r := range requests {
		want, arrives := r.expected()
		decisions[policy.Decision{Verdict: want.Verdict, Rule: want.Rule}]++
		if diff := cmp.Diff([]auditedLine{want}, lines[r.host]); diff != "" {
			t.Errorf("%s %s:%d, SNI %q: lines, -want +got:\n%s", r.method, r.host, r.port, r.sni, diff)
		}
		delete(lines, r.host)
		var origin []string
		if arrives {
			origin = []string{want.Egress}
		}
		if diff := cmp.Diff(origin, arrived[r.path]); diff != "" {
			t.Errorf("%+v: arrived from, -want +got:\n%s", want, diff)
		}
		delete(arrived, r.path)
	}
	if len(lines) > 0 || len(arrived) > 0 {
		t.Errorf("lines of no request: %v; arrived without a request: %v", lines, arrived)
	}
	t.Logf("decisions: %v", decisions)
	for _, decision := range []policy.Decision{
		{Verdict: "allowed", Rule: "-"},
		{Verdict: "terminated", Rule: "sni"},
		{Verdict: "would-deny", Rule: "sni"},
		{Verdict: "would-deny", Rule: "domain"},
		{Verdict: "would-deny", Rule: "port"},
		{Verdict: "denied", Rule: "domain"},
		{Verdict: "denied", Rule: "port"},
		{Verdict: "denied", Rule: "forbidden-port"},
		{Verdict: "denied", Rule: "forbidden-destination"},
	} {
		if decisions[decision] < 5 {
			t.Errorf("%v came about %d times: too few for a test", decision, decisions[decision])
		}
	}
}

// markAuditLog returns the number of lines of the audit log, once the lines of all
// earlier requests are in it. Squid writes a line some time after the response, in the
// order in which requests end.
func markAuditLog(t *testing.T, vm *machine.VM) int {
	t.Helper()
	host := fmt.Sprintf("mark-%d.invalid", rand.Uint64())
	if _, err := get(t.Context(), openPort, "http://"+host+":25/"); err != nil {
		t.Fatal(err)
	}
	var lines int
	eventually(t, "the line of the request for "+host, func() error {
		records := auditLog(t, vm)
		at := slices.IndexFunc(records, func(r squid.AuditRecord) bool { return r.Host == host })
		if at < 0 {
			return fmt.Errorf("it is not among %d lines", len(records))
		}
		lines = at + 1
		return nil
	})
	return lines
}

// byHost returns the lines of the audit log since a mark, once there are as many
// as expected.
func byHost(t *testing.T, vm *machine.VM, mark, count int) map[string][]auditedLine {
	t.Helper()
	var records []squid.AuditRecord
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if records = auditLog(t, vm)[mark:]; len(records) >= count {
			break
		}
	}
	lines := map[string][]auditedLine{}
	for _, r := range records {
		if r.Method == "NONE" { // Squid 5's name for an inspected tunnel without TLS
			r.Method = http.MethodConnect
		}
		lines[r.Host] = append(lines[r.Host], auditedLine{r.Tenant, r.Port, r.Client, r.Method, r.Host, r.HostPort, r.SNI, r.Verdict, r.Rule, r.Egress})
	}
	return lines
}

// byPath returns the source addresses of the requests that the origin has
// received, by path.
func byPath(events []internet.Event) map[string][]string {
	arrived := map[string][]string{}
	for _, event := range events {
		if event.Kind == internet.EventRequest {
			from, _, _ := strings.Cut(event.Source, ":")
			arrived[event.Path] = append(arrived[event.Path], from)
		}
	}
	return arrived
}

// auditLog returns the machine's audit log, without connections that carried no
// request.
func auditLog(t *testing.T, vm *machine.VM) []squid.AuditRecord {
	t.Helper()
	text, err := vm.Exec(t.Context(), "cat", cloudinit.AuditLog)
	if err != nil {
		t.Fatal(err)
	}
	var records []squid.AuditRecord
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, "\n") {
			break // still being written
		}
		var record squid.AuditRecord
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatalf("not a record: %v: %s", err, line)
		}
		if record.Status != 0 || record.Method != "-" {
			records = append(records, record)
		}
	}
	return records
}

// plainClient keeps its connection to the proxy from one request to the next,
// or opens a new one each time.
type plainClient struct {
	port int
	keep bool
	conn *connection
}

func (c *plainClient) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

func (c *plainClient) connect(ctx context.Context) (err error) {
	if c.conn == nil {
		c.conn, err = reach(ctx, c.port)
	}
	return err
}

// do sends a request in plain HTTP, and reads the answer.
func (c *plainClient) do(ctx context.Context, method, target, host string) error {
	if err := c.connect(ctx); err != nil {
		return err
	}
	closed, err := c.conn.exchange(method, target, host, !c.keep)
	if closed || err != nil {
		c.close()
	}
	return err
}

// exchange sends a request, and reads the answer. closed reports that this
// connection cannot carry another request.
func (c *connection) exchange(method, target, host string, last bool) (closed bool, err error) {
	header := ""
	if last {
		header = "Connection: close\r\n"
	}
	if method == http.MethodPost || method == http.MethodPut {
		header += "Content-Length: 4\r\n\r\nbody"
	} else {
		header += "\r\n"
	}
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\n%s", method, target, host, header); err != nil {
		return true, err
	}
	response, err := http.ReadResponse(c.reader, &http.Request{Method: method})
	if err != nil {
		return true, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.Close, err
}

// send makes the request. If it is a tunnel, send returns once Squid has closed
// it. The caller checks whether it reached the origin.
func (r audited) send(ctx context.Context, client *plainClient) error {
	address := net.JoinHostPort(r.host, fmt.Sprint(r.port))
	if r.method != http.MethodConnect {
		return client.do(ctx, r.method, "http://"+address+r.path, address)
	}
	conn, err := reach(ctx, int(r.tenant.Proxy.Port))
	if err != nil {
		return err
	}
	defer conn.Close()
	got, err := conn.ask(http.MethodConnect, address, address)
	if err != nil || got.status != http.StatusOK {
		return err
	}
	inside := conn
	if r.port == 443 {
		// A tunnel that Squid ends must return an error.
		client := tls.Client(conn.Conn, &tls.Config{ServerName: r.sni, InsecureSkipVerify: true})
		if err := client.HandshakeContext(ctx); err != nil {
			return nil
		}
		inside = &connection{client, bufio.NewReader(client)}
	}
	_, err = inside.exchange(http.MethodGet, r.path, r.host, true)
	return err
}
