package node

import (
	"fmt"
	"os"
	"path/filepath"

	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/process"
)

// debianPlugins is the folder of Debian's CNI plugins.
const debianPlugins = "/usr/lib/cni"

// pluginName is the name of Config.Plugin in the network's configuration.
const pluginName = "egress-netpol"

// pluginFolder contains the CNI plugins of the node.
func (c Config) pluginFolder() string { return filepath.Join(c.dir(), "cni-bin") }

// policySocket is the enforcer's socket.
func (c Config) policySocket() string { return filepath.Join(c.dir(), "netpol.sock") }

// installPlugins puts the plugins of the node's network into one folder, because
// containerd searches one.
func (c Config) installPlugins() error {
	if err := os.MkdirAll(c.pluginFolder(), 0o755); err != nil {
		return err
	}
	links := []string{filepath.Join(debianPlugins, "loopback")}
	if c.Cilium != nil {
		links = append(links, c.Cilium.Plugin)
	} else {
		links = append(links, filepath.Join(debianPlugins, "ptp"), filepath.Join(debianPlugins, "host-local"))
	}
	for _, link := range links {
		if err := os.Symlink(link, filepath.Join(c.pluginFolder(), filepath.Base(link))); err != nil {
			return err
		}
	}
	if c.Cilium != nil {
		return nil
	}
	// A copy: the original is removed when no build has used it for a while.
	plugin, err := os.ReadFile(c.Plugin)
	if err != nil {
		return fmt.Errorf("CNI plugin: %w", err)
	}
	return os.WriteFile(filepath.Join(c.pluginFolder(), pluginName), plugin, 0o755)
}

// startEnforcer starts the enforcer of NetworkPolicies. No pod starts before it
// runs.
func (c Config) startEnforcer() error {
	_, err := c.Cluster.Environment.Start(process.Command{
		Name: Enforcer, Path: c.Self, Netns: c.Netns,
		Args: []string{
			"netpol", "--kubeconfig=" + c.Cluster.Kubeconfig("admin"), "--node=" + cluster.NodeName,
			"--pod-cidr=" + cluster.PodCIDR, "--socket=" + c.policySocket(),
		},
	})
	return err
}
