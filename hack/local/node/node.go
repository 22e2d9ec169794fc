// Package node runs a real Kubernetes node on this machine: containerd and
// kubelet in their own process and mount namespaces, kube-proxy and an enforcer
// of NetworkPolicies beside them. Ending the first process of the namespace
// ends every container with it.
package node

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"text/template"
	"time"

	"egress.scw/hack/local/cgroup"
	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/images"
	"egress.scw/hack/local/process"
	"egress.scw/hack/local/programs"
)

// PodCIDR is the node's part of the cluster's pod network: the first part,
// because it is the cluster's first node.
const PodCIDR = "10.244.0.0/24"

// PauseImage is the image of the process that keeps a pod's namespaces open.
const PauseImage = "egress-local/pause:dev"

// Enforcer is the name of the enforcer of NetworkPolicies, and of its log.
const Enforcer = "netpol"

// Names of the node's other processes.
const (
	processNode  = "node"
	processProxy = "kube-proxy"
)

// Config describes the node.
type Config struct {
	Cluster *cluster.Cluster
	// Netns is the node's network namespace.
	Netns string
	// Address is the node's address in the network of the control plane.
	Address netip.Addr
	// Images are imported into the node's store at the start.
	Images []images.Image
	// Self is a program that runs Init when called with the arguments
	// "node-init DIR", and enforces policies when called with "netpol
	// --kubeconfig=FILE --node=NAME --pod-cidr=CIDR --socket=PATH".
	Self string
	// Plugin is the CNI plugin that reports pods to the enforcer's socket.
	Plugin string
	// Cilium connects the pods and enforces policies, in place of Plugin and
	// the enforcer. Nil: it does not.
	Cilium *programs.Cilium
}

// pods is the cgroup of all pods of the node.
var pods = cgroup.Group{Name: "egress-local"}

func (c Config) dir() string { return folder(c.Cluster.Environment) }

// folder contains all files of the node.
func folder(environment process.Environment) string {
	return filepath.Join(string(environment), "node")
}

// Start starts the node and returns when its processes run. WaitReady waits
// until it is ready.
func Start(ctx context.Context, c Config) error {
	if err := Stop(ctx, c.Cluster.Environment); err != nil {
		return err
	}
	if err := c.writeFiles(); err != nil {
		return err
	}
	for _, image := range c.Images {
		if err := images.Write(filepath.Join(c.dir(), "images", fileName(image.Reference)), image); err != nil {
			return err
		}
	}
	if err := pods.Make("cpu", "cpuset", "memory", "pids", "io"); err != nil { // kubelet needs these
		return err
	}
	if c.Cilium != nil {
		if err := c.applyCiliumCRDs(ctx); err != nil {
			return err
		}
	}
	environment := c.Cluster.Environment
	if _, err := environment.Start(process.Command{
		Name: processNode, Path: "unshare",
		Args:  []string{"--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", c.Self, "node-init", c.dir()},
		Netns: c.Netns,
	}); err != nil {
		return err
	}
	// The built-in role of kube-proxy has no binding by default.
	if err := c.Cluster.Apply(ctx, kubeProxyBinding); err != nil {
		return err
	}
	proxy := c.Cluster.Command("kube-proxy", "--config="+filepath.Join(c.dir(), "kube-proxy.yaml"))
	if _, err := environment.Start(proxy); err != nil {
		return err
	}
	if c.Cilium != nil {
		return nil // Init starts the agent, beside containerd
	}
	return c.startEnforcer()
}

const kubeProxyBinding = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: kube-proxy}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:node-proxier}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:kube-proxy}]
`

// WaitReady waits until the API shows the node as ready.
func WaitReady(ctx context.Context, c *cluster.Cluster) error {
	deadline := time.Now().Add(5 * time.Minute) // 10 s on an idle machine
	for {
		out, err := c.Kubectl(ctx, nil, "get", "node", cluster.NodeName, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && out == "True" {
			return nil
		}
		if running, err := c.Environment.List(); err == nil && !slices.ContainsFunc(running, func(p process.Process) bool { return p.Name == processNode }) {
			return errors.New("the node has ended; the end of its log:\n" + c.Environment.Tail(processNode))
		}
		if time.Now().After(deadline) {
			return errors.Join(errors.New("the node does not become ready; the end of kubelet's log:\n"+c.Environment.Tail("kubelet")), err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Stop ends the node and all its containers, and removes their remains. It is
// not an error if there is no node.
func Stop(ctx context.Context, environment process.Environment) error {
	if err := environment.Stop(ctx, 5*time.Second, processProxy, Enforcer); err != nil {
		return err
	}
	// No grace period: when the first process ends, the kernel ends the
	// whole namespace.
	if err := environment.Stop(ctx, 0, processNode); err != nil {
		return err
	}
	if err := pods.Remove(ctx); err != nil {
		return err
	}
	return os.RemoveAll(folder(environment))
}

// Import adds an image to the store of the running node.
func Import(ctx context.Context, environment process.Environment, image images.Image) error {
	dir := folder(environment)
	file := filepath.Join(dir, fileName(image.Reference))
	defer os.Remove(file)
	if err := images.Write(file, image); err != nil {
		return err
	}
	if out, err := ctr(ctx, dir, "images", "import", file); err != nil {
		return fmt.Errorf("importing %s: %w: %s", image.Reference, err, out)
	}
	return nil
}

//go:embed templates
var templates embed.FS

func (c Config) writeFiles() error {
	for _, dir := range []string{"cni", "images", "manifests", "volume-plugins"} {
		if err := os.MkdirAll(filepath.Join(c.dir(), dir), 0o755); err != nil {
			return err
		}
	}
	if err := c.installPlugins(); err != nil {
		return err
	}
	values := map[string]string{
		"Dir": c.dir(), "Socket": filepath.Join(c.dir(), socket), "Name": cluster.NodeName, "Address": c.Address.String(),
		"PauseImage": PauseImage, "PodCIDR": PodCIDR, "Cgroup": pods.Name,
		"Domain": cluster.Domain, "DNS": cluster.DNSIP,
		"CA": c.Cluster.PKI("ca.crt"), "Certificate": c.Cluster.PKI("kubelet-server.crt"), "Key": c.Cluster.PKI("kubelet-server.key"),
		"ProxyKubeconfig": c.Cluster.Kubeconfig("kube-proxy"),
		"PluginFolder":    c.pluginFolder(), "Plugin": pluginName, "PolicySocket": c.policySocket(),
	}
	parsed, err := template.New("").Option("missingkey=error").ParseFS(templates, "templates/*")
	if err != nil {
		return err
	}
	network := "cni.conflist"
	if c.Cilium != nil {
		network = "cilium.conflist"
	}
	for name, path := range map[string]string{
		"containerd.toml": "containerd.toml",
		network:           "cni/10-egress-local.conflist",
		"kubelet.yaml":    "kubelet.yaml",
		"kube-proxy.yaml": "kube-proxy.yaml",
	} {
		var content bytes.Buffer
		if err := parsed.ExecuteTemplate(&content, name, values); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(c.dir(), path), content.Bytes(), 0o600); err != nil {
			return err
		}
	}
	// Pods that inherit the node's resolver get none. CoreDNS names its
	// own.
	if err := os.WriteFile(filepath.Join(c.dir(), "resolv.conf"), []byte("# none\n"), 0o644); err != nil {
		return err
	}
	script := initScript{
		State:      string(c.Cluster.Environment),
		Kubernetes: c.Cluster.Binary,
		Kubelet: []string{
			"kubelet", "--config=" + filepath.Join(c.dir(), "kubelet.yaml"), "--kubeconfig=" + c.Cluster.Kubeconfig("kubelet"),
			"--root-dir=" + filepath.Join(c.dir(), "kubelet"), "--cert-dir=" + filepath.Join(c.dir(), "kubelet/pki"),
			"--hostname-override=" + cluster.NodeName, "--node-ip=" + c.Address.String(),
		},
		Logs: filepath.Dir(c.Cluster.Environment.LogFile("")),
	}
	if c.Cilium != nil {
		if err := c.writeCiliumConfig(); err != nil {
			return err
		}
		if script.Cilium, err = c.ciliumScript(); err != nil {
			return err
		}
	}
	return script.write(c.dir())
}
