package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"egress.scw/cloudinit"
	"egress.scw/hack/local/machine"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// attempt is a request for a destination that a tenant may not reach.
type attempt struct {
	port int32 // the tenant's
	line string
	host string
	// inside is sent in the tunnel: an SNI, or plain text if it contains a
	// blank.
	inside string
	// pause comes before it: names may have changed their addresses by
	// then.
	pause time.Duration
}

func (a attempt) String() string {
	return fmt.Sprintf("port %d: %s (Host: %s)", a.port, a.line, a.host)
}

// send returns the answer's status and the data after it. It waits only until
// the connection has ended.
func (a attempt) send(ctx context.Context) (status int, body string, err error) {
	conn, err := reach(ctx, int(a.port))
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", a.line, a.host); err != nil {
		return 0, "", err
	}
	method, _, _ := strings.Cut(a.line, " ")
	response, err := http.ReadResponse(conn.reader, &http.Request{Method: method})
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	if method != http.MethodConnect || response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		rest, _ := io.ReadAll(conn.reader) // there may be a second request in the line
		return response.StatusCode, string(text) + string(rest), nil
	}
	return http.StatusOK, a.within(ctx, conn), nil
}

// within sends the attempt's data in the tunnel, and returns the answer. An
// error counts as an empty answer.
func (a attempt) within(ctx context.Context, conn *connection) string {
	select {
	case <-ctx.Done():
		return ""
	case <-time.After(a.pause):
	}
	if !strings.Contains(a.inside, " ") {
		client := tls.Client(conn.Conn, &tls.Config{ServerName: a.inside, InsecureSkipVerify: true})
		if client.HandshakeContext(ctx) == nil {
			_, _ = io.WriteString(client, "GET /ip HTTP/1.0\r\n\r\n")
			text, _ := io.ReadAll(client)
			return string(text)
		}
		return ""
	}
	_, _ = io.WriteString(conn, a.inside)
	text, _ := io.ReadAll(conn.reader)
	return string(text)
}

// sendAll sends the attempts a few at a time, and checks each answer.
func sendAll(t *testing.T, attempts []attempt, look func(attempt, int, string)) {
	t.Helper()
	const atOnce = 12
	next := make(chan attempt)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for a := range next {
				status, body, err := a.send(t.Context())
				if err != nil {
					t.Errorf("%s: %v", a, err)
					continue
				}
				if strings.Contains(body, targetsMark) || strings.Contains(body, managerMark) {
					t.Errorf("%s: status %d, and an answer from a forbidden destination: %q", a, status, body)
				}
				look(a, status, body)
			}
		})
	}
	for _, a := range attempts {
		next <- a
	}
	close(next)
	workers.Wait()
}

// managerMark is in the manager's answer to /squid-internal-mgr/info.
const managerMark = "Squid Object Cache"

// checkForbidden requests forbidden destinations for every tenant, in all known
// ways. The connections that the targets have counted decide the result. The
// proxy must not have sent requests to itself. Each target is reachable for other
// clients.
func (w *world) checkForbidden(t *testing.T, vm *machine.VM, tenants []v1alpha1.Tenant) {
	targets := w.targets(t, vm)
	notReached(t, vm, targets)
	mark, before := markAuditLog(t, vm), stopped(t, vm)
	var denied, tricks []attempt
	for _, tenant := range tenants {
		denied = append(denied, w.forbiddenAttempts(tenant)...)
		tricks = append(tricks, w.trickAttempts(tenant)...)
	}
	began := time.Now()
	sendAll(t, denied, func(a attempt, status int, _ string) {
		if status != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403", a, status)
		}
	})
	sendAll(t, tricks, func(attempt, int, string) {})
	t.Logf("%d requests for forbidden destinations, and %d tricks, in %s", len(denied), len(tricks), time.Since(began).Round(time.Millisecond))
	logStopped(t, vm, before)
	notReached(t, vm, targets)

	for _, record := range auditLog(t, vm)[mark:] {
		if record.Client != nodeAddress || record.Port == strconv.Itoa(names.StatusPort) {
			t.Errorf("the proxy was asked by other than the node: %+v", record)
		}
	}
	w.checkSeesItself(t, vm)
}

// checkSeesItself is the control for requests of the proxy to itself: its
// manager answers on the machine, and the audit log would show the request.
func (w *world) checkSeesItself(t *testing.T, vm *machine.VM) {
	t.Helper()
	mark := markAuditLog(t, vm)
	manager := fmt.Sprintf("http://127.0.0.1:%d/squid-internal-mgr/info", names.StatusPort)
	if page := in(t, vm, "curl", "--silent", "--noproxy", "*", manager); !strings.Contains(page, managerMark) {
		t.Errorf("the manager's own answer has no %q: %q", managerMark, page)
	}
	in(t, vm, "curl", "--silent", "--output", "/dev/null", "--proxy", fmt.Sprintf("http://%s:%d", proxyAddress, openPort), "http://10.0.0.1/")
	eventually(t, "the lines of the requests made on the machine itself", func() error {
		var ports []string
		for _, record := range auditLog(t, vm)[mark:] {
			if record.Client != nodeAddress {
				ports = append(ports, record.Port)
			}
		}
		if want := []string{strconv.Itoa(names.StatusPort), strconv.Itoa(openPort)}; !slices.Equal(ports, want) {
			return fmt.Errorf("the lines are of ports %q, want %q", ports, want)
		}
		return nil
	})
}

// forbiddenAttempts are requests that must be denied with 403.
func (w *world) forbiddenAttempts(tenant v1alpha1.Tenant) []attempt {
	var hosts []string
	for _, text := range allPrivate() {
		address := netip.MustParseAddr(text)
		hosts = append(hosts, privateName(text))
		if address.Is6() {
			hosts = append(hosts, "["+text+"]", "["+address.StringExpanded()+"]")
		} else {
			hosts = append(hosts, spellings(address)...)
		}
	}
	if w.egress == cloudinit.SourceFlexibleIP {
		for _, own := range []string{sharedAddress, ownAddress} {
			hosts = append(hosts, spellings(netip.MustParseAddr(own))...)
		}
	}
	hosts = append(hosts, "0", "0.0.0.0", "[::]", "127.1", "localhost", "both.private.example", "mixed.private.example", "255.255.255.255", "224.0.0.1", "[fe80::1]", "[ff02::1]")
	if tenant.Allow.Mode == policy.ModeEnforce {
		hosts = append(hosts, spoofedAddress)
	} else {
		hosts = slices.DeleteFunc(hosts, func(host string) bool { return host == "localhost" }) // a name that does not exist
	}
	var attempts []attempt
	add := func(line, host string) {
		attempts = append(attempts, attempt{port: tenant.Proxy.Port, line: line, host: host, inside: host})
	}
	for _, host := range hosts {
		add("GET http://"+host+"/", host)
		add("GET http://"+host+":443/", echoName) // another Host than the URL's
		add("CONNECT "+host+":443", host)
		add("CONNECT "+host+":80", host)
	}
	ports := []int{25}
	if tenant.Allow.Mode != policy.ModeReport {
		ports = append(ports, 21, 22, 8443)
	}
	for _, port := range ports {
		add(fmt.Sprintf("GET http://%s:%d/", echoName, port), echoName)
		add(fmt.Sprintf("CONNECT %s:%d", echoName, port), echoName)
	}
	return append(attempts, ownAttempts(tenant)...)
}

// ownAttempts are requests to the proxy itself, and requests in protocols that it
// does not serve.
func ownAttempts(tenant v1alpha1.Tenant) []attempt {
	var attempts []attempt
	add := func(line, host string) {
		attempts = append(attempts, attempt{port: tenant.Proxy.Port, line: line, host: host, inside: host})
	}
	for _, host := range []string{proxyAddress, "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", privateName(proxyAddress), privateName("127.0.0.1")} {
		for _, port := range []int{names.StatusPort, ownPort, sharedPort, openPort} {
			address := fmt.Sprintf("%s:%d", host, port)
			add("GET http://"+address+"/squid-internal-mgr/info", address)
			add("CONNECT "+address, address)
		}
		add("GET cache_object://"+host+"/info", host)
		add("GET ftp://"+host+"/", host)
	}
	for _, host := range []string{"egress-proxy", fmt.Sprintf("egress-proxy:%d", tenant.Proxy.Port), fmt.Sprintf("127.0.0.1:%d", names.StatusPort), "localhost"} {
		add("GET http://"+host+"/squid-internal-mgr/info", host)
		add("GET http://egress-proxy/squid-internal-mgr/info", host)
		add("GET /squid-internal-mgr/info", host)
		add("GET cache_object://egress-proxy/info", host)
	}
	add("GET ftp://"+echoName+"/", echoName)
	add("GET ftp://"+echoName+":80/", echoName)
	add("GET https://"+privateAddresses[0]+"/", echoName)
	return attempts
}

// trickAttempts are requests whose answer does not matter, as long as they
// reach no forbidden destination.
func (w *world) trickAttempts(tenant v1alpha1.Tenant) []attempt {
	var attempts []attempt
	private := privateAddresses[0]
	add := func(line, host, inside string) {
		attempts = append(attempts, attempt{port: tenant.Proxy.Port, line: line, host: host, inside: inside})
	}
	// Behind the gateway, Squid does not know the machine's public address.
	for _, port := range []int{80, 443, names.StatusPort, ownPort, sharedPort} {
		add(fmt.Sprintf("GET http://%s:%d/squid-internal-mgr/info", sharedAddress, port), sharedAddress, "")
		add(fmt.Sprintf("CONNECT %s:%d", sharedAddress, port), sharedAddress, sharedAddress)
	}
	for _, host := range []string{private, "127.0.0.1", metadataAddress, nodeAddress} {
		add("GET http://"+echoName+"/ip", host, "")
		add("GET /", host, "")
		add("GET http://"+echoName+"@"+host+"/", echoName, "")
		add("GET http://"+host+"@"+echoName+"/", echoName, "")
		add("GET http://"+host+`\@`+echoName+"/", echoName, "")
		add("GET http://"+echoName+`\@`+host+"/", echoName, "")
		add("GET http://"+echoName+"#@"+host+"/", echoName, "")
		add("GET http://"+echoName+"%2f@"+host+"/", echoName, "")
		add("GET http://"+host+"%00."+echoName+"/", echoName, "")
		add("GET http://"+host+"%2f."+echoName+"/", echoName, "")
		add("GET http://"+host+":80:80/", echoName, "")
		add("GET //"+host+"/", echoName, "")
		add("GET "+host, echoName, "")
		add("CONNECT "+echoName+"@"+host+":443", echoName, echoName)
		add("CONNECT "+host+":443@"+echoName+":443", echoName, echoName)
		add("CONNECT http://"+host+":443", echoName, echoName)
		// Inside of permitted tunnels: another name, and no TLS at all.
		add("CONNECT "+echoName+":443", echoName, privateName(host))
		add("CONNECT "+echoName+":443", host, echoName)
		add("CONNECT "+echoName+":443", echoName, "GET http://"+host+"/ HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		add("CONNECT "+echoName+":443", echoName, "CONNECT "+host+":443 HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
		// Tunnels to the port of plain HTTP lead to the host of the CONNECT alone.
		add("CONNECT "+echoName+":80", echoName, "GET http://"+host+"/ HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		add("CONNECT "+echoName+":80", host, "CONNECT "+host+":80 HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		add("CONNECT "+host+":80@"+echoName+":80", echoName, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		add("CONNECT "+echoName+":80", echoName, privateName(host))
	}
	// Other protocols that Squid supports, or supported, and names and
	// addresses of the proxy itself.
	for _, line := range []string{
		"GET urn:" + private + ":x", "GET urn:menu." + private, "GET gopher://" + private + ":80/", "GET wais://" + private + ":80/", "GET whois://" + private + ":80/x", "GET coap://" + private + "/",
		"GET ws://" + private + "/", "GET file:///etc/passwd", "OPTIONS *", "TRACE http://" + private + "/", "PRI *", "PROXY TCP4 127.0.0.1 127.0.0.1 1 3128",
		fmt.Sprintf("GET http://127.0.0.1:%d/squid-internal-mgr/info HTTP/1.1\r\nX-Forwarded-For: 127.0.0.1\r\nForwarded: for=127.0.0.1\r\nX-Rest:", names.StatusPort),
	} {
		add(line, private, "")
	}
	// A second request on the same connection, after a permitted one.
	add("GET http://"+echoName+"/ip HTTP/1.1\r\nHost: "+echoName+"\r\n\r\nGET http://"+private+"/", private, "")
	return attempts
}

// rebindingTime is more than twice the time for which Squid caches a name.
const rebindingTime = 11 * time.Second

// checkRebinding repeatedly requests names with changing addresses. It also opens
// tunnels in which data is sent only after the address has changed. The proxy
// must have received both addresses. Otherwise the test proves no protection.
func (w *world) checkRebinding(t *testing.T, vm *machine.VM, tenants []v1alpha1.Tenant) {
	targets := w.targets(t, vm)
	before := stopped(t, vm)
	w.rebind(t, tenants)
	logStopped(t, vm, before)
	notReached(t, vm, targets)
}

func (w *world) rebind(t *testing.T, tenants []v1alpha1.Tenant) {
	t.Helper()
	began := time.Now()
	seen := len(w.internetEvents(t))
	var mu sync.Mutex
	outcomes := map[string]int{}
	look := func(a attempt, status int, body string) {
		method, _, _ := strings.Cut(a.line, " ")
		mu.Lock()
		defer mu.Unlock()
		outcomes[fmt.Sprintf("%s %d %t", method, status, strings.Contains(body, `"origin"`))]++
	}
	var loops sync.WaitGroup
	loops.Go(func() {
		var slow []attempt
		for i := range rebinding / 2 {
			name := rebindingName(i)
			port := tenants[i%len(tenants)].Proxy.Port
			plain := "GET /ip HTTP/1.1\r\nHost: " + name + "\r\nConnection: close\r\n\r\n"
			slow = append(slow,
				attempt{port: port, line: "CONNECT " + name + ":443", host: name, inside: name, pause: 6 * time.Second},
				attempt{port: port, line: "CONNECT " + name + ":80", host: name, inside: plain, pause: 6 * time.Second})
		}
		sendAll(t, slow, look)
	})
	// On a busy machine, a round takes a large part of the time.
	tooFew := func() (problems []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, outcome := range []string{"GET 200 true", "GET 403 false", "CONNECT 200 true", "CONNECT 403 false"} {
			if outcomes[outcome] < rebinding {
				problems = append(problems, fmt.Sprintf("%s came about %d times", outcome, outcomes[outcome]))
			}
		}
		if queries := w.rebindingQueries(t, seen); queries < 2*rebinding {
			problems = append(problems, fmt.Sprintf("the names were resolved %d times", queries))
		}
		return problems
	}
	for round := 0; time.Since(began) < rebindingTime || len(tooFew()) > 0 && time.Since(began) < patience; round++ {
		var attempts []attempt
		for i := range rebinding {
			name := rebindingName(i)
			port := tenants[(round+i)%len(tenants)].Proxy.Port
			attempts = append(attempts, attempt{port: port, line: "GET http://" + name + "/ip", host: name}, attempt{port: port, line: "CONNECT " + name + ":443", host: name, inside: name})
		}
		sendAll(t, attempts, look)
		time.Sleep(30 * time.Millisecond)
	}
	loops.Wait()
	t.Logf("names that mean something else each time: %v; asked for %d times, in %s",
		outcomes, w.rebindingQueries(t, seen), time.Since(began).Round(time.Millisecond))
	for _, problem := range tooFew() {
		t.Errorf("%s: too few for a test", problem)
	}
}

// rebindingQueries returns the number of queries for the names since an event.
func (w *world) rebindingQueries(t *testing.T, seen int) (queries int) {
	t.Helper()
	for _, event := range w.internetEvents(t)[seen:] {
		if event.Type == "A" && strings.Contains(event.Host, ".rebind.example") {
			queries++
		}
	}
	return queries
}

// unguarded returns squid.conf without the rules that keep Squid from forbidden
// destinations, as if Squid or these rules had a vulnerability. It also trusts the
// host name in an address's PTR record.
func unguarded(conf []byte) []byte {
	for _, line := range []string{
		`http_access [^\n]*forbidden_(address|destination)[^\n]*`, `tcp_outgoing_address ::1 all`,
	} {
		conf = regexp.MustCompile(`(?m)^`+line+`\n`).ReplaceAll(conf, nil)
	}
	return regexp.MustCompile(`dstdomain -n `).ReplaceAll(conf, []byte("dstdomain "))
}

// publish makes a squid.conf live, without waiting for the timer.
func (w *world) publish(t *testing.T, vm *machine.VM, conf []byte) {
	t.Helper()
	w.setSquidConf(encoded(t, conf))
	// Repeated, in case the timer has started the unit a moment before.
	eventually(t, "squid.conf", func() error {
		in(t, vm, "systemctl", "start", "egress-sync.service")
		if in(t, vm, "cat", "/etc/squid/squid.conf") != strings.TrimSpace(string(conf)) {
			return errors.New("it is not the one that was published")
		}
		return nil
	})
}

// checkFirewall removes Squid's protection against forbidden destinations. Then
// only the firewall stops the requests, and counts them. The control: without
// the firewall as well, the same requests arrive.
func (w *world) checkFirewall(t *testing.T, vm *machine.VM, tenants []v1alpha1.Tenant) {
	targets := w.targets(t, vm)
	conf := squidConf(t, w.egress, tenants)
	w.publish(t, vm, unguarded(conf))
	defer func() {
		in(t, vm, "systemctl", "reload", "nftables")
		w.publish(t, vm, conf)
		checkRevisions(t, tenants)
	}()
	var attempts []attempt
	for _, to := range targets {
		if to.port != 80 || to.address == netip.MustParseAddr(spoofedAddress) {
			continue
		}
		host := to.address.String()
		if to.address.Is6() {
			host = "[" + host + "]"
		}
		for _, line := range []string{"GET http://" + host + "/", "CONNECT " + host + ":80", "CONNECT " + host + ":443"} {
			attempts = append(attempts, attempt{port: openPort, line: line, host: host, inside: host})
		}
		if privateZone()[privateName(to.address.String())] != nil {
			attempts = append(attempts, attempt{port: sharedPort, line: "GET http://" + privateName(to.address.String()) + "/", host: host})
		}
	}
	for i := range rebinding {
		attempts = append(attempts, attempt{port: ownPort, line: "GET http://" + rebindingName(i) + "/ip", host: rebindingName(i)})
	}
	before := stopped(t, vm)
	sendAll(t, attempts, func(a attempt, status int, _ string) {
		if status == http.StatusForbidden {
			t.Errorf("%s: Squid still denies it, so the test does not reach the firewall", a)
		}
	})
	notReached(t, vm, targets)
	logStopped(t, vm, before)
	checkStopped(t, vm, before, "ip daddr @forbidden", "ip daddr "+metadataAddress, "oifname != ")
	if w.egress == cloudinit.SourceFlexibleIP {
		checkStopped(t, vm, before, "meta nfproto ipv6", "ip6 daddr "+privateAddresses6[0])
	}

	in(t, vm, "nft", "flush", "chain", "inet", "egress", "output")
	w.checkUnguarded(t, targets)
}

// checkUnguarded is the control: without either protection, targets are
// reached, except those without a route from the requests' source address. An
// address with a false PTR record passes too.
func (w *world) checkUnguarded(t *testing.T, targets []target) {
	t.Helper()
	elsewhere := []string{"::1", nodeAddress, gatewayPrivate}
	if w.egress == cloudinit.SourceGateway {
		elsewhere = []string{"::1", metadataAddress}
	}
	for _, to := range targets {
		if to.port != 80 || slices.Contains(elsewhere, to.address.String()) {
			continue
		}
		status, _, err := attempt{port: openPort, line: "GET http://" + to.String() + "/", host: "x"}.send(t.Context())
		if count := to.count.Swap(0); err != nil || count == 0 {
			t.Errorf("%s is not reached without the rules and the firewall, so the tests have no control: status %d, %v", to, status, err)
		}
	}
	status, body, err := attempt{port: sharedPort, line: "GET http://" + spoofedAddress + "/", host: "x"}.send(t.Context())
	if err != nil || !strings.Contains(body, targetsMark) {
		t.Errorf("the lie about an address is not believed even by a Squid that asks for its name: status %d, %v", status, err)
	}
}

// stopped returns the number of Squid's packets that the firewall has rejected,
// by rule.
func stopped(t *testing.T, vm *machine.VM) map[string]int {
	t.Helper()
	counters := map[string]int{}
	pattern := regexp.MustCompile(`(?m)^\s*(\S.*) counter packets (\d+) bytes \d+ reject`)
	for _, chain := range []string{"output", "proxy"} {
		for _, match := range pattern.FindAllStringSubmatch(in(t, vm, "nft", "list", "chain", "inet", "egress", chain), -1) {
			packets, err := strconv.Atoi(match[2])
			if err != nil {
				t.Fatal(err)
			}
			counters[match[1]] += packets
		}
	}
	if len(counters) == 0 {
		t.Fatal("the firewall has no counters")
	}
	return counters
}

// checkStopped fails the test unless the firewall has rejected packets since
// before, by a rule that begins with each of these.
func checkStopped(t *testing.T, vm *machine.VM, before map[string]int, beginnings ...string) {
	t.Helper()
	after := stopped(t, vm)
	for _, beginning := range beginnings {
		moved := false
		for rule, packets := range after {
			moved = moved || strings.HasPrefix(rule, beginning) && packets > before[rule]
		}
		if !moved {
			t.Errorf("the firewall has rejected no packet by %q, of %v", beginning, after)
		}
	}
}

// logStopped logs the packets that the firewall has rejected since before.
func logStopped(t *testing.T, vm *machine.VM, before map[string]int) {
	t.Helper()
	for rule, packets := range stopped(t, vm) {
		if packets > before[rule] {
			t.Logf("stopped by the firewall alone: %d packets: %s", packets-before[rule], rule)
		}
	}
}
