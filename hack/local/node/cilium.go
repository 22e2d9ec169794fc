package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"egress.scw/hack/local/cluster"
)

// CiliumAgent is the name of the agent's log.
const CiliumAgent = "cilium-agent"

// Folders of Cilium in the node's mount namespace, on a filesystem in memory.
// Its CNI plugin expects the first one.
const (
	ciliumState  = "/run/cilium"
	ciliumBPF    = ciliumState + "/bpf"
	ciliumCgroup = ciliumState + "/cgroup"
)

// ciliumScript is the part of initScript for Cilium.
type ciliumScript struct {
	// Agent is the command line of the agent.
	Agent []string
	// Cgroup is the folder that the agent takes for the root of cgroups.
	Cgroup string
}

// ErrNoCilium is the error of CheckCilium.
var ErrNoCilium = errors.New("Cilium does not run on this machine") //nolint:staticcheck // a name

// CheckCilium returns the reasons why this machine cannot run Cilium. The agent
// has further checks, and its log contains their results.
func CheckCilium() error {
	var reasons []error
	for _, program := range []string{"clang", "iptables", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			reasons = append(reasons, fmt.Errorf("%w (hack/scripts/deps.sh cilium installs its package)", err))
		}
	}
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		reasons = append(reasons, err)
	}
	for _, kind := range []string{"bpf", "cgroup2"} {
		if !slices.Contains(strings.Fields(string(known)), kind) {
			reasons = append(reasons, fmt.Errorf("the kernel has no filesystem %q", kind))
		}
	}
	if _, err := cgroupVersion2(); err != nil {
		reasons = append(reasons, err)
	}
	if len(reasons) == 0 {
		return nil
	}
	return errors.Join(append([]error{ErrNoCilium}, reasons...)...)
}

// cgroupVersion2 returns the folder of the pods' cgroup in the hierarchy of
// version 2. On a machine that has both versions, no pod is in it.
func cgroupVersion2() (string, error) {
	folders, err := pods.Folders()
	if err != nil {
		return "", err
	}
	for _, folder := range folders {
		var fs unix.Statfs_t
		if err := unix.Statfs(filepath.Dir(folder), &fs); err == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			return folder, nil
		}
	}
	return "", errors.New("no hierarchy of cgroups version 2 is mounted")
}

func (c Config) ciliumScript() (*ciliumScript, error) {
	cgroup, err := cgroupVersion2()
	if err != nil {
		return nil, err
	}
	return &ciliumScript{Cgroup: cgroup, Agent: []string{
		"env", "K8S_NODE_NAME=" + cluster.NodeName, c.Cilium.Agent,
		"--k8s-kubeconfig-path=" + c.Cluster.Kubeconfig("admin"), "--config-dir=" + c.ciliumConfig(),
		"--lib-dir=" + c.Cilium.Library, "--state-dir=" + ciliumState, "--bpf-root=" + ciliumBPF, "--cgroup-root=" + ciliumCgroup,
		"--ipam=kubernetes", "--identity-allocation-mode=crd", "--enable-ipv6=false", "--kube-proxy-replacement=false",
		// The parts that need Envoy, an operator, or ports of the machine.
		"--enable-l7-proxy=false", "--enable-envoy-config=false", "--enable-hubble=false", "--gops-port=0",
		"--enable-health-checking=false", "--enable-endpoint-health-checking=false",
	}}, nil
}

// ciliumConfig is a folder in the form of a mounted ConfigMap.
func (c Config) ciliumConfig() string { return filepath.Join(c.dir(), "cilium-config") }

// writeCiliumConfig writes the setting that has no flag, with the value of
// Cilium's chart. Without it, a pod can send with another's address.
func (c Config) writeCiliumConfig() error {
	if err := os.MkdirAll(c.ciliumConfig(), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.ciliumConfig(), "enable-source-ip-verification"), []byte("true"), 0o644)
}

// applyCiliumCRDs creates the kinds that the agent waits for.
func (c Config) applyCiliumCRDs(ctx context.Context) error {
	_, err := c.Cluster.Kubectl(ctx, nil, "apply", "--server-side", "--recursive", "-f", c.Cilium.CRDs)
	return err
}

// prepareMounts gives the agent a filesystem for its maps, which ends with the
// node, and keeps its cgroup programs away from the machine's root.
func (s *ciliumScript) prepareMounts() error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"bpf", ciliumBPF, "bpf", 0},
		{s.Cgroup, ciliumCgroup, "", syscall.MS_BIND},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}
