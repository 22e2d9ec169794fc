package e2e

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"egress.scw/hack/test/clients/matrix"
	"egress.scw/webhook/api/policy"
)

// testClient requests all targets, and compares the ways of the requests.
func testClient(t *testing.T, client *matrix.Client, targets []target) {
	t.Helper()
	want := map[string]bool{}
	for _, target := range targets {
		want[expectedWay(t, client, target)] = true
	}
	since := start(t)
	printed, err := kubectl(t.Context(), "--namespace="+clientsTenant, "exec", "clients", "--", "sh", "-c", clientScript(client, targets))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]bool
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		got = since.ways(t, targets)
		if maps.Equal(got, want) {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	for _, way := range slices.Sorted(maps.Keys(want)) {
		if !got[way] {
			t.Errorf("not seen: %s", way)
		}
	}
	for _, way := range slices.Sorted(maps.Keys(got)) {
		if !want[way] {
			t.Errorf("not expected: %s", way)
		}
	}
	t.Logf("the client printed:\n%s", printed)
}

// expectedWay describes the way of a client's request, as the audit logs show it.
func expectedWay(t *testing.T, client *matrix.Client, target target) string {
	t.Helper()
	switch outcome := client.Expected(target.Target, len(client.Runtimes) > 0); {
	case outcome == matrix.Direct:
		return "direct: " + target.id
	case outcome == matrix.Tunnelled, outcome == matrix.Proxied && target.TLS:
		return proxiedWay("CONNECT", target.Host, fmt.Sprint(target.Port()), target.verdict)
	case outcome == matrix.Proxied:
		return proxiedWay("GET", target.Host, fmt.Sprint(target.Port()), target.verdict)
	default:
		t.Fatalf("%s: a request of the outcome %s leaves no line in an audit log: leave the client out", target.id, outcome)
		return ""
	}
}

func proxiedWay(method, host, port string, verdict policy.Verdict) string {
	return fmt.Sprintf("%s of %s by the proxy, %s", method, net.JoinHostPort(host, port), verdict)
}

// clientScript requests the targets one after the other, and prints the exit status
// and the end of the output of each.
func clientScript(client *matrix.Client, targets []target) string {
	var script strings.Builder
	for _, target := range targets {
		words := client.Command(target.Target, "/"+target.id+"/")
		for i, word := range words {
			words[i] = quoted(word)
		}
		fmt.Fprintf(&script, "timeout --signal=KILL 60 %s </dev/null >/tmp/printed 2>&1; echo \"%s: exit status $?\"; tail -c 300 /tmp/printed; echo\n",
			strings.Join(words, " "), target.id)
	}
	return script.String()
}

// moment is a position in all logs of requests.
type moment struct {
	proxy, apiServer int64
	service          int // bytes of the log
}

func start(t *testing.T) (m moment) {
	t.Helper()
	var err, apiServerErr error
	_, m.proxy, err = shared.Audit(0)
	_, m.apiServer, apiServerErr = shared.Cluster.Audit(0)
	if err != nil || apiServerErr != nil {
		t.Fatal(err, apiServerErr)
	}
	m.service = len(serviceLog(t))
	return m
}

func serviceLog(t *testing.T) string {
	t.Helper()
	return mustKubectl(t, "--namespace="+clientsTenant, "logs", clientsService)
}

// ways describes the requests since the moment: those at the tenant's port of the
// proxy, and those that reached the API server or the Service.
func (m moment) ways(t *testing.T, targets []target) map[string]bool {
	t.Helper()
	lines, _, err := shared.Audit(m.proxy)
	if err != nil {
		t.Fatal(err)
	}
	ways := map[string]bool{}
	for _, line := range lines {
		if line.Tenant == clientsTenant {
			method := strings.ReplaceAll(line.Method, "NONE", "CONNECT") // of Squid 5
			ways[proxiedWay(method, line.Host, line.HostPort, line.Verdict)] = true
		}
	}
	events, _, err := shared.Cluster.Audit(m.apiServer)
	if err != nil {
		t.Fatal(err)
	}
	var arrived strings.Builder
	arrived.WriteString(serviceLog(t)[m.service:])
	for _, event := range events {
		arrived.WriteString(event.RequestURI + "\n")
	}
	for _, target := range targets {
		if strings.Contains(arrived.String(), "/"+target.id+"/") {
			ways["direct: "+target.id] = true
		}
	}
	return ways
}
