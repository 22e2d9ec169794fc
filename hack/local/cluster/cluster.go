// Package cluster runs a real Kubernetes control plane as plain processes:
// etcd, API server, controller manager and scheduler, without a node. On
// loopback it needs no root. Package node or kwok adds nodes.
package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"egress.scw/hack/local/pki"
	"egress.scw/hack/local/process"
)

// The cluster's networks are the usual ones, which kubeadm and most other
// installers choose, so that they do not depend on this machine's networks.
const (
	Domain      = "cluster.local"
	PodCIDR     = "10.244.0.0/16"
	ServiceCIDR = "10.96.0.0/16"
	ServiceIP   = "10.96.0.1"  // of the API server
	DNSIP       = "10.96.0.10" // of CoreDNS
)

// Config describes a control plane.
type Config struct {
	// Environment owns the processes. Its folder contains keys and data.
	Environment process.Environment
	// Binary is the path of the multi-call binary (programs.Kubernetes).
	Binary string
	// Address is the API server's address for other processes of the
	// environment and for pods.
	Address netip.Addr
	// Netns is the network namespace to run in. Empty: the caller's.
	Netns string
	// Hosts are names and addresses, beside Address, that the certificates
	// of API server and kubelet are valid for.
	Hosts []string
	// AuditedUser is the user whose requests the API server records (Audit).
	// Empty: there is no audit log.
	AuditedUser string
	// Commands runs kubectl's commands. Nil, or if it cannot run one: a process of Binary.
	Commands Kubectl
}

// Cluster is a control plane.
type Cluster struct {
	Config
	ports ports
	// started are the processes that this program started, by name.
	started map[string]process.Process
	// lastFree is the port that FreePort returned last, or 0.
	lastFree int
}

// On loopback the ports are chosen freely, so that several control planes can
// run side by side.
type ports struct {
	apiServer, etcd, etcdPeer, controllerManager, scheduler int
}

func usualPorts() ports {
	return ports{apiServer: 6443, etcd: 2379, etcdPeer: 2380, controllerManager: 10257, scheduler: 10259}
}

// New makes the keys and kubeconfigs of a new control plane, which Start starts. It does
// not reuse data of an earlier one in the environment's folder.
func New(ctx context.Context, config Config) (*Cluster, error) {
	c := &Cluster{Config: config, started: map[string]process.Process{}}
	for _, dir := range []string{c.path("pki"), c.path("etcd")} {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if err := c.choosePorts(ctx); err != nil {
		return nil, err
	}
	if err := c.writeKeys(); err != nil {
		return nil, err
	}
	return c, c.writeAuditPolicy()
}

// Start starts the control plane and waits until it can be used.
func (c *Cluster) Start(ctx context.Context) error {
	for _, command := range []process.Command{c.etcd(), c.apiServer()} {
		if err := c.start(command); err != nil {
			return err
		}
	}
	if err := c.waitReady(ctx); err != nil {
		return err
	}
	for _, command := range []process.Command{c.controllerManager(), c.scheduler()} {
		if err := c.start(command); err != nil {
			return err
		}
	}
	return c.waitServiceAccount(ctx)
}

// Open returns the control plane that New made with this configuration, in a network
// namespace of its own.
func Open(config Config) *Cluster {
	return &Cluster{Config: config, ports: usualPorts(), started: map[string]process.Process{}}
}

// Kubeconfig is the path of the kubeconfig of the given user: "admin",
// "kubelet", "kube-proxy", "controller-manager" or "scheduler".
func (c *Cluster) Kubeconfig(user string) string { return c.path("pki", user+".kubeconfig") }

// RESTConfig returns a client configuration for the administrator.
func (c *Cluster) RESTConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig("admin"))
	if err != nil {
		return nil, err
	}
	// The cluster is on this machine: do not use the proxy of the caller's
	// environment.
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	// Tests create hundreds of objects. The API server's own fairness
	// protects it.
	config.QPS, config.Burst = -1, -1
	return config, nil
}

// Clientset returns a client for the administrator.
func (c *Cluster) Clientset() (*kubernetes.Clientset, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// PKI is the path of a file that contains a key or a certificate.
func (c *Cluster) PKI(file string) string { return c.path("pki", file) }

func (c *Cluster) path(elements ...string) string {
	return filepath.Join(append([]string{string(c.Environment)}, elements...)...)
}

// choosePorts takes free ports on loopback. In its own network namespace the
// cluster uses the default ports.
func (c *Cluster) choosePorts(ctx context.Context) error {
	if c.Netns != "" {
		c.ports = usualPorts()
		return nil
	}
	for _, port := range []*int{&c.ports.apiServer, &c.ports.etcd, &c.ports.etcdPeer, &c.ports.controllerManager, &c.ports.scheduler} {
		var err error
		if *port, err = c.FreePort(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Ports on loopback are taken from below the range that the kernel assigns to
// clients (net.ipv4.ip_local_port_range, from 32768 on): a port in that range
// may be free now and assigned to a client a moment later.
const (
	firstPort = 20000
	lastPort  = 29999
)

// FreePort returns a TCP port on which no process listens now, on any address,
// and that it has not returned before.
func (c *Cluster) FreePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	for range lastPort - firstPort {
		if c.lastFree++; c.lastFree < firstPort || c.lastFree > lastPort {
			// Another cluster that starts at the same time begins
			// at another port.
			c.lastFree = firstPort + rand.IntN(lastPort-firstPort)
		}
		listener, err := config.Listen(ctx, "tcp", ":"+strconv.Itoa(c.lastFree))
		if err == nil {
			return c.lastFree, listener.Close()
		}
	}
	return 0, fmt.Errorf("no port between %d and %d is free", firstPort, lastPort)
}

func (c *Cluster) writeKeys() error {
	dir := c.path("pki")
	ca, err := pki.NewAuthority("kubernetes-ca")
	if err != nil {
		return err
	}
	frontProxyCA, err := pki.NewAuthority("front-proxy-ca")
	if err != nil {
		return err
	}
	frontProxy, err := frontProxyCA.Issue(pki.Leaf{User: "front-proxy-client"})
	if err != nil {
		return err
	}
	serviceAccounts, err := pki.NewServiceAccountKeys()
	if err != nil {
		return err
	}
	for name, pair := range map[string]pki.Pair{
		"ca": ca.Pair, "front-proxy-ca": frontProxyCA.Pair, "front-proxy-client": frontProxy, "sa": serviceAccounts,
	} {
		if err := pair.Write(dir, name); err != nil {
			return err
		}
	}
	for name, leaf := range c.leaves() {
		issued, err := ca.Issue(leaf)
		if err != nil {
			return err
		}
		if err := issued.Write(dir, name); err != nil {
			return err
		}
	}
	for _, user := range []string{"admin", "controller-manager", "scheduler", "kubelet", "kube-proxy"} {
		if err := c.writeKubeconfig(user); err != nil {
			return err
		}
	}
	return nil
}

// leaves are the certificates that the cluster's own authority issues.
func (c *Cluster) leaves() map[string]pki.Leaf {
	hosts := append([]string{"localhost", "127.0.0.1", c.Address.String()}, c.Hosts...)
	api := append([]string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + Domain, ServiceIP,
	}, hosts...)
	return map[string]pki.Leaf{
		"apiserver":                {User: "kube-apiserver", Hosts: api},
		"apiserver-kubelet-client": {User: "kube-apiserver-kubelet-client", Group: "system:masters"},
		"etcd":                     {User: "etcd", Hosts: []string{"localhost", "127.0.0.1"}},
		"etcd-client":              {User: "kube-apiserver-etcd-client"},
		"kubelet-server":           {User: "kubelet", Hosts: hosts},
		"admin":                    {User: "admin", Group: "system:masters"},
		"controller-manager":       {User: "system:kube-controller-manager"},
		"scheduler":                {User: "system:kube-scheduler"},
		"kubelet":                  {User: "system:node:" + NodeName, Group: "system:nodes"},
		"kube-proxy":               {User: "system:kube-proxy"},
	}
}

// NodeName is the name of the cluster's one real node.
const NodeName = "node1"

func (c *Cluster) writeKubeconfig(user string) error {
	var data [3][]byte
	for i, file := range []string{"ca.crt", user + ".crt", user + ".key"} {
		var err error
		if data[i], err = os.ReadFile(c.PKI(file)); err != nil {
			return err
		}
	}
	const name = "egress-local"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: c.URL(), CertificateAuthorityData: data[0]}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: data[1], ClientKeyData: data[2]}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, c.Kubeconfig(user))
}

// URL is the URL of the API server.
func (c *Cluster) URL() string {
	return "https://" + net.JoinHostPort(c.Address.String(), strconv.Itoa(c.ports.apiServer))
}

// startTimeout bounds the wait for the API server. It takes 4 to 6 s alone, and
// much longer beside a compiler on two cores.
const startTimeout = 10 * time.Minute

func (c *Cluster) waitReady(ctx context.Context) error {
	client, err := c.Clientset()
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		if err := c.alive("etcd", "kube-apiserver"); err != nil {
			return false, err
		}
		body, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil && string(body) == "ok", nil
	})
	if err != nil {
		return fmt.Errorf("the API server does not become ready, see %s: %w", c.Environment.LogFile("kube-apiserver"), err)
	}
	return nil
}

// waitServiceAccount waits until the controllers run. The default service
// account shows that; without it no pod can be created.
func (c *Cluster) waitServiceAccount(ctx context.Context) error {
	client, err := c.Clientset()
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		if err := c.alive("kube-controller-manager", "kube-scheduler"); err != nil {
			return false, err
		}
		_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("no default service account, see %s: %w", c.Environment.LogFile("kube-controller-manager"), err)
	}
	return nil
}

func (c *Cluster) start(command process.Command) error {
	p, err := c.Environment.Start(command)
	if err != nil {
		return err
	}
	c.started[command.Name] = p
	return nil
}

// alive returns an error that names the first of the processes that has ended.
func (c *Cluster) alive(names ...string) error {
	for _, name := range names {
		if !c.started[name].Alive() {
			return fmt.Errorf("%s has ended; the end of its log:\n%s", name, c.Environment.Tail(name))
		}
	}
	return nil
}
