package e2e

import (
	"testing"

	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/environment"
	"egress.scw/hack/test/clients/matrix"
	"egress.scw/webhook/api/policy"
)

const (
	// clientsTenant has the clients' pod in its only namespace of the same name. Its
	// port is no other test's, so that all of its lines in the audit log are the
	// clients'.
	clientsTenant = "e2e-clients"
	clientsPort   = "3132"
	clientsImage  = "egress-local/clients:dev"
	// clientsService is the Service in the namespace.
	clientsService = "backend"
)

// clientIDs are the rows of the clients: all of them are in Debian's packages. Other
// tests use a client of Go, the probe.
func clientIDs() []string {
	return []string{
		"apt", "curl", "git", "java-http-client", "perl-http-tiny", "perl-lwp", "php-curl",
		"python-httplib2", "python-httpx", "python-requests", "python-urllib", "python-websocket-client", "ruby-net-http", "wget",
	}
}

// target is a destination of the clients, and the verdict of the proxy on it.
type target struct {
	matrix.Target
	// id distinguishes the target, and is its path in URLs.
	id      string
	verdict policy.Verdict
}

// clientTargets are public hosts, one of them in the tenant's list, and hosts of the
// cluster. Outcomes of the rows are those of targets with the same names.
func clientTargets(serviceIP string) []target {
	const direct, proxied = matrix.Direct, matrix.Proxied
	targets := []target{
		{matrix.Target{Name: matrix.PublicHTTPS, Host: environment.IPEchoName, TLS: true, Ideal: proxied}, "listed-https", policy.VerdictAllowed},
		{matrix.Target{Name: matrix.PublicHTTP, Host: environment.IPEchoName, Ideal: proxied}, "listed-http", policy.VerdictAllowed},
		{matrix.Target{Name: matrix.PublicHTTPS, Host: environment.HTTPBinName, TLS: true, Ideal: proxied}, "unlisted-https", policy.VerdictDenied},
		{matrix.Target{Name: matrix.PublicHTTP, Host: environment.HTTPBinName, Ideal: proxied}, "unlisted-http", policy.VerdictDenied},
	}
	for _, inside := range []matrix.Target{
		{Name: "api-server", Host: cluster.ServiceIP, TLS: true, Ideal: direct},
		{Name: "kubernetes", Host: "kubernetes.default.svc", TLS: true, Ideal: direct},
		{Name: "fqdn", Host: clientsService + "." + clientsTenant + ".svc." + cluster.Domain, Ideal: direct},
		{Name: "svc-ns-svc", Host: clientsService + "." + clientsTenant + ".svc", Ideal: direct},
		{Name: "svc", Host: clientsService, Ideal: direct},
		{Name: "cluster-ip", Host: serviceIP, Ideal: direct},
	} {
		targets = append(targets, target{inside, inside.Name, ""})
	}
	return targets
}

// Real clients in a tenant's pod reach public hosts through the proxy, as the tenant,
// and the API server and a Service without it. The ways of their requests are those of
// their rows, which make clients compares with more clients and targets.
func TestClients(t *testing.T) {
	requireEnvironment(t)
	clients, err := matrix.Select(clientIDs()...)
	if err != nil {
		t.Fatal(err)
	}
	importClients(t)
	t.Cleanup(func() { apply(t, shared.ConfigFile()) })
	const rules = "proxy: {port: " + clientsPort + "}, allow: {mode: Enforce, domains: [" + environment.IPEchoName + "]}"
	apply(t, withTenant(t, "    - {name: "+clientsTenant+", "+rules+"}\n"))
	eventually(t, "the port of "+clientsTenant, func() (bool, string) { return answers(t, clientsPort), "no answer on " + clientsPort })
	newTenant(t, clientsTenant, "{"+rules+", runtimes: [Java, Node, Perl], clusterAccess: [{apiServer: true}]}")
	newNamespace(t, clientsTenant, clientsTenant)
	targets := clientTargets(deployClients(t))
	for i := range clients {
		t.Run(clients[i].ID, func(t *testing.T) { testClient(t, &clients[i], targets) })
	}
}
