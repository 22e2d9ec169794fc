package matrix

import (
	"net/netip"
)

// Target is a destination that each client requests. Its address is that of the
// recorder's origins.
type Target struct {
	// Name identifies the target in rows, Title is its column in the documentation.
	Name, Title string
	// Host is written in the URL.
	Host string
	// TLS is whether the request goes to port 443 by TLS, rather than to port 80.
	TLS bool
	// Address is the address of the host.
	Address netip.Addr
	// Ideal is the outcome of a client that works as it should.
	Ideal Outcome
}

// Port is the port of the request.
func (t Target) Port() uint16 {
	if t.TLS {
		return 443
	}
	return 80
}

// Names and addresses of the targets. They are those of Kapsule's default ranges,
// and of networks for documentation.
const (
	// APIServer is the value of KUBERNETES_SERVICE_HOST.
	APIServer = "10.32.0.1"
	// Namespace is the tenant's namespace in which the clients run.
	Namespace = "orders"
	// Domain is the cluster's domain.
	Domain = "cluster.local"

	// Service is a Service of the namespace.
	Service = "backend"
	// ServiceIP is its ClusterIP.
	ServiceIP = "10.32.4.20"

	// Hostname is the name of the pod in which the clients run.
	Hostname = "web-0"
	// OwnIP is that pod's address.
	OwnIP = "100.64.3.9"

	podIP                = "100.64.3.7"
	privateName, private = "host.internal", "172.16.40.9"
	publicName, public   = "www.example.test", "203.0.113.80"
	loopback             = "127.0.0.1"
)

// Names of the targets outside of the cluster, by which clients are counted.
const (
	PublicHTTPS = "public-https"
	PublicHTTP  = "public-http"
)

// Targets returns all targets in the order of the documentation's columns.
func Targets() []Target {
	address := netip.MustParseAddr
	return []Target{
		{PublicHTTPS, "public https", publicName, true, address(public), Proxied},
		{PublicHTTP, "public http", publicName, false, address(public), Proxied},
		{"api-server", "API server's address", APIServer, true, address(APIServer), Direct},
		{"kubernetes", "`kubernetes.default.svc`", "kubernetes.default.svc", true, address(APIServer), Direct},
		{"fqdn", "`SVC.NS.svc.cluster.local`", Service + "." + Namespace + ".svc." + Domain, false, address(ServiceIP), Direct},
		{"fqdn-dot", "with final dot", Service + "." + Namespace + ".svc." + Domain + ".", false, address(ServiceIP), Direct},
		{"svc-ns-svc", "`SVC.NS.svc`", Service + "." + Namespace + ".svc", false, address(ServiceIP), Direct},
		{"svc-ns", "`SVC.NS`", Service + "." + Namespace, false, address(ServiceIP), Direct},
		{"svc", "`SVC`", Service, false, address(ServiceIP), Direct},
		{"cluster-ip", "ClusterIP", ServiceIP, false, address(ServiceIP), Direct},
		{"pod-ip", "pod's address", podIP, false, address(podIP), Direct},
		{"internal", "`NAME.internal`", privateName, false, address(private), Direct},
		{"loopback", "`127.0.0.1`", loopback, false, address(loopback), Direct},
		{"any", "`0.0.0.0`", "0.0.0.0", false, address(loopback), Direct},
	}
}

// Zone returns the names of the targets and their addresses, as the cluster's DNS
// answers them: only complete names exist, and clients in pods complete the
// others by their search list.
func Zone() map[string][]netip.Addr {
	address := netip.MustParseAddr
	return map[string][]netip.Addr{
		publicName:                         {address(public)},
		privateName:                        {address(private)},
		"kubernetes.default.svc." + Domain: {address(APIServer)},
		Service + "." + Namespace + ".svc." + Domain: {address(ServiceIP)},
	}
}
