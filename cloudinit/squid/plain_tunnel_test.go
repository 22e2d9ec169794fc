package squid

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"egress.scw/webhook/api/policy"
	"egress.scw/webhook/api/v1alpha1"
)

// content is what a client sends in a tunnel: pieces that arrive one by one.
type content struct {
	name   string
	pieces []string
}

// passage is the fate of a tunnel: whether the origin has received its content, and
// the decision in the audit log.
type passage struct {
	reached bool
	verdict policy.Verdict
	rule    policy.Rule
}

// TestTunnelContents sends contents in tunnels to the ports of plain HTTP and TLS,
// through tenants in every mode. Plain HTTP passes to its own port alone, in every
// form of it. TLS for an unlisted host passes to neither, however its first message
// arrives: also if it is split so that Squid cannot read it.
func TestTunnelContents(t *testing.T) {
	proxy := liveProxy(t)
	plainPort, tlsPort := startListener(t), startListener(t)
	ports := []int32{plainPort, tlsPort}
	tenants := []v1alpha1.Tenant{
		withAllow("enforce", 3129, &v1alpha1.AllowSpec{Domains: []string{".listed.test"}, Ports: ports}),
		withAllow("report", 3130, &v1alpha1.AllowSpec{Mode: policy.ModeReport, Domains: []string{".listed.test"}, Ports: ports}),
		withAllow("open", 3131, &v1alpha1.AllowSpec{Mode: policy.ModeOpen, Ports: ports}),
	}
	file := withHosts(t, proxy, tenants, "127.0.0.1", []string{"a.listed.test", "other.test"})
	file = replaceOnce(t, file, "acl forbidden_destination dst 127.0.0.0/8\n", "acl forbidden_destination dst 127.0.0.0/32\n")
	file = replaceOnce(t, file, "acl plain_port port 80\n", fmt.Sprintf("acl plain_port port %d\n", plainPort))
	file = replaceOnce(t, file, "acl tls_port port 443\n", fmt.Sprintf("acl tls_port port %d\n", tlsPort))
	file = replaceOnce(t, file, "request_start_timeout 30 seconds\n", "request_start_timeout 4 seconds\n")
	startFile(t, proxy, file)

	passes, ended := passage{true, policy.VerdictAllowed, "-"}, passage{false, policy.VerdictAllowed, "-"}
	wouldDeny := func(rule policy.Rule) passage { return passage{true, policy.VerdictWouldDeny, rule} }
	terminated := func(rule policy.Rule) passage { return passage{false, policy.VerdictTerminated, rule} }
	denied := passage{false, policy.VerdictDenied, policy.RuleDomain}
	const listed, other = "a.listed.test", "other.test"
	get := content{"GET", []string{"GET / HTTP/1.1\r\nHost: a.listed.test\r\n\r\n"}}
	plainText := []content{
		get,
		{"GET in pieces", []string{"G", "ET / HTTP/1.1\r\nHost: a.listed.test\r\n\r\n"}},
		{"WebSocket", []string{"GET / HTTP/1.1\r\nHost: a.listed.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"}},
		{"HTTP/2, as gRPC sends it", []string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}},
		{"GET as to a proxy", []string{"GET http://other.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n"}},
		{"CONNECT", []string{"CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n"}},
		{"SSH", []string{"SSH-2.0-OpenSSH_10.0\r\n"}},
	}
	whole := func(sni string) content { return content{"TLS for " + sni, []string{clientHello(t, sni)}} }
	// A segment may end anywhere. With a post-quantum key, as here, the message is longer
	// than one.
	segments := func(sni string) content {
		hello := clientHello(t, sni)
		return content{"TLS in segments for " + sni, []string{hello[:600], hello[600:]}}
	}
	together := func(sni string) content {
		return content{"TLS in two records at once for " + sni, []string{strings.Join(twoRecords(clientHello(t, sni)), "")}}
	}
	split := func(sni string) content {
		return content{"TLS in two records for " + sni, twoRecords(clientHello(t, sni))}
	}
	silence := content{"nothing in time", []string{"", "GET / HTTP/1.1\r\n\r\n"}}
	type row struct {
		host                  string
		port                  int32
		sent                  content
		enforce, report, open passage
	}
	rows := []row{
		{other, plainPort, get, denied, wouldDeny(policy.RuleDomain), passes},
		{listed, plainPort, silence, ended, passes, passes},
		{listed, tlsPort, silence, ended, wouldDeny(policy.RuleSNI), passes},
		{other, plainPort, whole(listed), denied, wouldDeny(policy.RuleDomain), passes},
	}
	for _, sent := range plainText {
		rows = append(rows,
			row{listed, plainPort, sent, passes, passes, passes},
			row{listed, tlsPort, sent, terminated(policy.RuleSNI), wouldDeny(policy.RuleSNI), passes})
	}
	for _, port := range ports {
		for _, readable := range []func(string) content{whole, segments, together} {
			rows = append(rows,
				row{listed, port, readable(listed), passes, passes, passes},
				row{listed, port, readable(other), terminated(policy.RuleSNI), wouldDeny(policy.RuleSNI), passes})
		}
		rows = append(rows,
			row{listed, port, split(listed), terminated(policy.RuleClientHello), wouldDeny(policy.RuleClientHello), passes},
			row{listed, port, split(other), terminated(policy.RuleClientHello), wouldDeny(policy.RuleClientHello), passes})
	}

	type sent struct {
		passage
		name, host, port string
	}
	var want, got []sent
	for _, row := range rows {
		for i, expected := range []passage{row.enforce, row.report, row.open} {
			target := net.JoinHostPort(row.host, fmt.Sprint(row.port))
			name := fmt.Sprintf("%s: %s to %s", tenants[i].Name, row.sent.name, target)
			reached, err := sendInTunnel(t, proxy, tenants[i], target, row.sent.pieces)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want = append(want, sent{expected, name, row.host, fmt.Sprint(row.port)})
			got = append(got, sent{passage{reached: reached}, name, "", ""})
		}
	}
	for i, record := range readAudit(t, proxy.AuditLog, len(want)) {
		got[i].verdict, got[i].rule, got[i].host, got[i].port = record.Verdict, record.Rule, record.Host, record.HostPort
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v; %+v", got[i], want[i], record)
		}
	}
}

// sendInTunnel reports whether the origin has answered to the pieces. It returns
// once Squid has closed the connection, and so has written the audit record.
func sendInTunnel(t *testing.T, proxy Config, tenant v1alpha1.Tenant, target string, pieces []string) (bool, error) {
	connection, err := connectTo(t.Context(), proxy, tenant)
	if err != nil {
		return false, err
	}
	defer connection.Close()
	status, err := openTunnel(connection, target)
	if err != nil || status != http.StatusOK {
		return false, err
	}
	for i, piece := range pieces {
		if i > 0 && pieces[0] == "" && isPeeked(tenant) {
			time.Sleep(4*time.Second + lateClock) // longer than the timeout
		} else if i > 0 {
			time.Sleep(200 * time.Millisecond) // each arrives by itself
		}
		if _, err := io.WriteString(connection, piece); err != nil {
			return false, nil // Squid has ended the tunnel
		}
	}
	answer, _ := io.ReadAll(connection)
	return strings.Contains(string(answer), "reached"), nil
}

// startListener returns the port of an origin on loopback. It answers any first
// bytes, and closes the connection.
func startListener(t *testing.T) int32 {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ends with the test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				_ = connection.SetDeadline(time.Now().Add(time.Minute))
				if n, _ := connection.Read(make([]byte, 1<<16)); n > 0 {
					_, _ = io.WriteString(connection, "reached")
				}
			}()
		}
	}()
	return int32(listener.Addr().(*net.TCPAddr).Port)
}

// clientHello returns the first message of a TLS client for a host: one record.
func clientHello(t *testing.T, host string) string {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	if err := server.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = tls.Client(client, &tls.Config{ServerName: host, InsecureSkipVerify: true}).HandshakeContext(t.Context())
		client.Close()
	}()
	header := make([]byte, 5)
	if _, err := io.ReadFull(server, header); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, int(header[3])<<8|int(header[4]))
	if _, err := io.ReadFull(server, message); err != nil {
		t.Fatal(err)
	}
	return string(header) + string(message)
}

// twoRecords splits the message of a record into two records.
func twoRecords(record string) []string {
	const first = 100
	rest := len(record) - 5 - first
	return []string{
		record[:3] + string([]byte{0, first}) + record[5:5+first],
		record[:3] + string([]byte{byte(rest >> 8), byte(rest)}) + record[5+first:],
	}
}

// TestForbiddenTunnelsToPlainHTTP: tunnels to port 80 reach no forbidden destination,
// in any mode and spelling, and by no listed name that resolves to one.
func TestForbiddenTunnelsToPlainHTTP(t *testing.T) {
	proxy := liveProxy(t)
	domains := []string{"private.test", "metadata.test"}
	tenants := []v1alpha1.Tenant{
		withAllow("enforce", 3129, &v1alpha1.AllowSpec{Domains: domains}),
		withAllow("report", 3130, &v1alpha1.AllowSpec{Mode: policy.ModeReport, Domains: domains}),
		withAllow("open", 3131, &v1alpha1.AllowSpec{Mode: policy.ModeOpen}),
	}
	file := withHosts(t, proxy, tenants, "10.0.0.1", []string{"private.test"})
	hosts, err := os.OpenFile(hostsFile(proxy), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintln(hosts, "169.254.42.42 metadata.test")
	if err := errors.Join(err, hosts.Close()); err != nil {
		t.Fatal(err)
	}
	startFile(t, proxy, file)
	targets := append(forbiddenHosts(), domains...)
	for _, tenant := range tenants {
		for _, host := range targets {
			if status, err := askFor(t.Context(), proxy, tenant, http.MethodConnect, host, 80); err != nil || status != http.StatusForbidden {
				t.Errorf("%s: CONNECT %s:80: status %d, %v", tenant.Name, host, status, err)
			}
		}
	}
	for i, record := range readAudit(t, proxy.AuditLog, len(tenants)*len(targets)) {
		host := targets[i%len(targets)]
		rule := policy.RuleForbiddenDestination
		if decision := tenants[i/len(targets)].AllowList().Decide(http.MethodConnect, host, 80); decision.Verdict == policy.VerdictDenied {
			rule = decision.Rule
		}
		if record.Verdict != policy.VerdictDenied || record.Rule != rule || record.Server != "-" {
			t.Errorf("%s: want denied by %s: %+v", host, rule, record)
		}
	}
}
