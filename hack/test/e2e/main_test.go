// Package e2e tests the product in the local environment: a real node, enforced
// policies, real Squid, an internet that counts arriving packets. It needs
// root.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/progress"
	inprocess "egress.scw/hack/test/kubectl"
)

// cni is the network of the pods.
var cni = flag.String("cni", environment.CNIRouted, "network of the pods: "+environment.CNIRouted+" or "+environment.CNICilium)

// shared is the environment of all tests. It is nil without root.
var shared *environment.Environment

// testsAtOnce is the number of parallel tests that run at the same time. They mostly
// wait for pods and for packets that do not arrive.
const testsAtOnce = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", testsAtOnce); err != nil {
		panic(err) // the flag of package testing
	}
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	if os.Geteuid() != 0 {
		return m.Run() // every test reports why it is skipped
	}
	ctx := context.Background()
	log := progress.New(os.Stderr)
	if err := environment.CheckCNI(*cni); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	if _, err := os.Stat(environment.Dir); err == nil {
		fmt.Fprintln(os.Stderr, "e2e: a local environment exists, and a machine has at most one: make local-down removes it")
		return 1
	}
	before := machineState()
	defer func() {
		if err := environment.Down(ctx, log); err != nil {
			fmt.Fprintln(os.Stderr, "e2e: cleaning up:", err)
			code = 1
		}
		after := machineState()
		for path := range after {
			// A kernel module that a rule has loaded brings its own
			// settings.
			if _, existed := before[path]; !existed && strings.HasPrefix(path, "/proc/sys/") {
				delete(after, path)
			}
		}
		if diff := cmp.Diff(before, after); diff != "" {
			fmt.Fprintln(os.Stderr, "e2e: the environment has changed the machine (-before +after):\n"+diff)
			code = 1
		}
	}()
	if err := setUp(ctx, log); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: setting up:", err)
		return 1
	}
	return m.Run()
}

// machineState is the state that the environment could change outside of its
// folder: settings of the kernel, and the content of the folders where
// Kubernetes' programs write by default. A path that does not exist has no
// entry.
func machineState() map[string]string {
	state := map[string]string{}
	for _, setting := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
		"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "kernel/unprivileged_bpf_disabled", "kernel/timer_migration",
		"net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/default/rp_filter", "net/netfilter/nf_conntrack_max",
	} {
		path := filepath.Join("/proc/sys", setting)
		if value, err := os.ReadFile(path); err == nil {
			state[path] = string(value)
		}
	}
	for _, folder := range []string{
		"/etc/cni", "/opt/cni", "/run/calico", "/run/containerd", "/run/cilium", "/run/flannel", "/run/netns", "/sys/fs/bpf", "/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified",
		"/var/lib/cni", "/var/lib/cni/results", "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/egress-local",
		"/var/log/containers", "/var/log/pods",
	} {
		if entries, err := os.ReadDir(folder); err == nil {
			for _, entry := range entries {
				state[folder] += entry.Name() + "\n"
			}
		}
	}
	return state
}

// Namespaces of the tests: two tenants, a second namespace of the first, and
// one without a tenant. Only the demo uses the namespace client-a.
const (
	namespaceA     = "e2e-a"
	namespaceAlsoA = "e2e-also-a"
	namespaceB     = "e2e-b"
	namespacePlain = "e2e-plain"
)

func setUp(ctx context.Context, log *progress.Log) (err error) {
	if shared, err = environment.Up(ctx, log, environment.Options{CNI: *cni, Kubectl: inprocess.New().Run}); err != nil {
		return err
	}
	if err := log.Step("helm install egress-webhook", func() error {
		release, err := shared.Release()
		if err != nil {
			return err
		}
		return release.Install(ctx)
	}); err != nil {
		return err
	}
	return log.Step("namespaces and pods", func() error {
		for namespace, tenant := range map[string]string{
			namespaceA: "client-a", namespaceAlsoA: "client-a", namespaceB: "client-b", namespacePlain: "",
		} {
			if err := shared.ApplyNamespace(ctx, namespace, tenant); err != nil {
				return err
			}
			if err := deployProbe(ctx, namespace); err != nil {
				return err
			}
		}
		for _, namespace := range []string{namespaceA, namespaceAlsoA, namespaceB, namespacePlain} {
			if _, err := kubectl(ctx, "--namespace="+namespace, "rollout", "status", "deployment/probe", "--timeout=600s"); err != nil {
				return err
			}
		}
		return nil
	})
}

// deployProbe deploys a server from whose pod tests connect. Its manifest does
// not mention proxies.
func deployProbe(ctx context.Context, namespace string) error {
	return shared.Apply(ctx, fmt.Sprintf(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: probe, namespace: %s}
spec:
  selector: {matchLabels: {app: probe}}
  template:
    metadata: {labels: {app: probe}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: probe
        image: %s
        imagePullPolicy: Never
        args: [serve, ":8080"]
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, readOnlyRootFilesystem: true}
`, namespace, environment.ProbeImage))
}

// requireEnvironment skips the test if there is no environment.
func requireEnvironment(t *testing.T) {
	t.Helper()
	if shared == nil {
		t.Skip("end-to-end tests need root: they make network namespaces and a real node")
	}
}

func kubectl(ctx context.Context, args ...string) (string, error) {
	return shared.Kubectl(ctx, nil, args...)
}

// probe runs the probe's program in a namespace's pod.
func probe(ctx context.Context, namespace string, args ...string) (string, error) {
	return kubectl(ctx, append([]string{"--namespace=" + namespace, "exec", "deployment/probe", "--container=probe", "--", "/main"}, args...)...)
}

// isProbes reports whether an error is the result of the probe's connection,
// and not a failure to run the probe.
func isProbes(err error) bool { return strings.Contains(err.Error(), ": probe: ") }

// requireSource waits until a command of the probe gets an answer of the IP echo, which must
// have seen this address. On a busy machine a request may fail, and not leave by another
// address.
func requireSource(t *testing.T, namespace, address string, command ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("an answer to %q from %s", command, namespace), func() (bool, string) {
		out, err := probe(t.Context(), namespace, command...)
		if got := lines(out); err == nil && !slices.Equal(got, []string{"200", address}) {
			t.Fatalf("from %s, %q: %q; want 200 and the address %s", namespace, command, got, address)
		}
		return err == nil, fmt.Sprint(out, err)
	})
}

// requireDial waits until a namespace's pod connects to an address. The node's network
// plugin asks a program about each connection, which may get no CPU.
func requireDial(t *testing.T, namespace, address string) {
	t.Helper()
	eventually(t, "a connection from "+namespace+" to "+address, func() (bool, string) {
		_, err := probe(t.Context(), namespace, "dial", "tcp", address)
		return err == nil, fmt.Sprint(err)
	})
}

func podIP(t *testing.T, namespace string) string {
	t.Helper()
	ip, err := kubectl(t.Context(), "--namespace="+namespace, "get", "pods", "-l", "app=probe", "-o", "jsonpath={.items[0].status.podIP}")
	if err != nil || ip == "" {
		t.Fatalf("address of the pod in %s: %q, %v", namespace, ip, err)
	}
	return ip
}

// eventually waits for a state. state returns nil once the state is reached,
// and otherwise describes the current one. The states are reached within
// seconds unless something is broken. Looks become rarer, because most of them start a
// process in a pod.
func eventually(t *testing.T, what string, state func() (done bool, description string)) {
	t.Helper()
	pause := 100 * time.Millisecond
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(pause) {
		done, description := state()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s; last seen: %s", what, description)
		}
		pause = min(pause*3/2, time.Second)
	}
}

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }
