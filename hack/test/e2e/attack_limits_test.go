package e2e

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/internet"
)

// Documented limits of the product. A test that fails here means that one is
// gone, and the README is out of date.

// A pod without a tenant reaches every tenant's port, and its requests are the
// tenant's: the port is the identity.
func TestLimitPortIsTheIdentity(t *testing.T) {
	requireEnvironment(t)
	eventually(t, "a pod without a tenant to leave as client-b", func() (bool, string) { return leavesAs(t, namespacePlain, "client-b", "3130") })
}

// A tenant's pod asks the cluster's DNS for a name of its choice, and the
// internet's name server receives the name.
func TestLimitNamesLeaveByDNS(t *testing.T) {
	requireEnvironment(t)
	name := "data-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "." + environment.IPEchoName
	_, err := probe(t.Context(), namespaceA, "resolve", net.JoinHostPort(cluster.DNSIP, "53"), name)
	if err == nil || !isProbes(err) {
		t.Errorf("the name %s exists, or was not asked for: %v", name, err)
	}
	eventually(t, "the internet's name server to be asked", func() (bool, string) {
		events, err := shared.InternetEvents()
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events {
			if event.Kind == internet.EventQuery && strings.TrimSuffix(event.Host, ".") == name {
				return true, ""
			}
		}
		return false, fmt.Sprintf("no query for %s among %d events", name, len(events))
	})
}

// leavesAs sends a request to a port of the proxy, and reports whether the
// internet sees the tenant's address.
func leavesAs(t *testing.T, namespace, tenant, port string) (bool, string) {
	t.Helper()
	proxy := "http://" + net.JoinHostPort(shared.Plan.ProxyPrivate.String(), port)
	out, err := probe(t.Context(), namespace, "get", "--proxy", proxy, "http://"+environment.IPEchoName+"/")
	if err != nil && !isProbes(err) {
		t.Fatal(err)
	}
	return err == nil && strings.HasSuffix(strings.TrimSpace(out), egressAddress(t, tenant)), fmt.Sprintf("%q, %v", out, err)
}
