package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// socket is containerd's socket in the node's folder.
const socket = "containerd.sock"

// initScript is the work of the first process of the node's namespaces. It is
// passed in a file because that process is started through unshare(1).
type initScript struct {
	// State is the environment's folder, which contains everything else.
	State      string
	Kubernetes string
	Kubelet    []string
	Logs       string
	// Cilium is the node's network, if it is not ptp.
	Cilium *ciliumScript
}

const initFile = "init.json"

func (s initScript) write(dir string) error {
	content, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, initFile), content, 0o600)
}

// Init is process 1 of the node: it prepares the mounts, starts containerd,
// loads the images, starts kubelet, and then only reaps processes, until
// containerd or kubelet ends. It returns only with an error.
func Init(ctx context.Context, dir string) error {
	content, err := os.ReadFile(filepath.Join(dir, initFile))
	if err != nil {
		return err
	}
	var script initScript
	if err := json.Unmarshal(content, &script); err != nil {
		return err
	}
	if err := prepareMounts(script.State); err != nil {
		return err
	}
	if script.Cilium != nil {
		if err := script.Cilium.prepareMounts(); err != nil {
			return err
		}
	}
	containerd, err := script.start("containerd", "containerd", "--config", filepath.Join(dir, "containerd.toml"))
	if err != nil {
		return err
	}
	if err := loadImages(ctx, dir); err != nil {
		return err
	}
	kubelet, err := script.start("kubelet", script.Kubernetes, script.Kubelet...)
	if err != nil {
		return err
	}
	needed := map[int]string{containerd: "containerd", kubelet: "kubelet"}
	if script.Cilium != nil {
		agent, err := script.start(CiliumAgent, script.Cilium.Agent[0], script.Cilium.Agent[1:]...)
		if err != nil {
			return err
		}
		needed[agent] = CiliumAgent
	}
	return reap(needed)
}

// reap waits for children until one of the needed processes ends.
func reap(needed map[int]string) error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("waiting for children: %w", err)
		case needed[pid] != "":
			return fmt.Errorf("%s ended with %s, see its log", needed[pid], endOf(status))
		}
	}
}

// endOf describes the end of a process. One that a signal has ended, such as the
// kernel's when the memory is used up, has no exit status.
func endOf(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "the signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// prepareMounts separates the node's mounts from the machine's, gives it its
// own /proc, and covers the folders that it would write to outside of its own
// folder.
func prepareMounts(state string) error {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"", "/", "", syscall.MS_REC | syscall.MS_SHARED}, // kubelet needs volumes to propagate into containers
		{"proc", "/proc", "proc", 0},
		{"egress-local", "/run", "tmpfs", 0},
		// kubelet creates links to logs in /var/log/containers. No
		// setting changes that.
		{"egress-local", "/var/log", "tmpfs", 0},
	} {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if err := os.Mkdir("/run/netns", 0o755); err != nil {
		return err
	}
	return errors.Join(hideAllBut(state), pinSysctls())
}

// hideAllBut covers the parent of the environment's folder, /var/lib, with an
// empty folder that shows only the environment's. No settings change that
// kubelet keeps the sockets of device plugins in /var/lib/kubelet, and CNI its
// results in /var/lib/cni.
func hideAllBut(state string) error {
	const aside = "/run/state"
	if err := os.Mkdir(aside, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(state, aside, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", state, err)
	}
	if err := syscall.Mount("egress-local", filepath.Dir(state), "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", filepath.Dir(state), err)
	}
	if err := os.Mkdir(state, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount(aside, state, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", state, err)
	}
	return nil
}

// pinSysctls shows kubelet and Cilium the kernel settings that they require, so
// that they do not change the machine's. Kubelet's are those of
// setupKernelTunables in its container manager.
func pinSysctls() error {
	for name, value := range map[string]string{
		"vm/overcommit_memory":      "1",
		"vm/panic_on_oom":           "0",
		"kernel/panic":              "10",
		"kernel/panic_on_oops":      "1",
		"kernel/keys/root_maxkeys":  "1000000",
		"kernel/keys/root_maxbytes": "25000000",
		// Cilium's agent sets these (Reinitialize in its loader).
		"kernel/unprivileged_bpf_disabled": "1",
		"kernel/timer_migration":           "0",
	} {
		pinned := filepath.Join("/run/sysctl", name)
		if err := os.MkdirAll(filepath.Dir(pinned), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(pinned, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := syscall.Mount(pinned, filepath.Join("/proc/sys", name), "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind /proc/sys/%s: %w", name, err)
		}
	}
	return nil
}

// start starts a program without waiting for it: process 1 waits for all.
func (s initScript) start(name, path string, args ...string) (pid int, err error) {
	path, err = exec.LookPath(path)
	if err != nil {
		return 0, err
	}
	log, err := os.OpenFile(filepath.Join(s.Logs, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	argv := append([]string{path}, args...)
	child, err := os.StartProcess(path, argv, &os.ProcAttr{Env: os.Environ(), Files: []*os.File{nil, log, log}})
	if err != nil {
		return 0, fmt.Errorf("starting %s: %w", name, err)
	}
	return child.Pid, nil
}

// loadImages imports every image of the node's folder.
func loadImages(ctx context.Context, dir string) error {
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		out, err := ctr(ctx, dir, "version")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("containerd does not answer: %w: %s", err, out)
		}
	}
	tars, err := filepath.Glob(filepath.Join(dir, "images", "*.tar"))
	if err != nil {
		return err
	}
	for _, tar := range tars {
		if out, err := ctr(ctx, dir, "images", "import", tar); err != nil {
			return fmt.Errorf("importing %s: %w: %s", tar, err, out)
		}
	}
	return nil
}

// ctr runs containerd's client for the node with this folder.
func ctr(ctx context.Context, dir string, args ...string) ([]byte, error) {
	args = append([]string{"--address", filepath.Join(dir, socket), "--namespace", "k8s.io"}, args...)
	return exec.CommandContext(ctx, "ctr", args...).CombinedOutput()
}

// fileName turns the reference of an image into a file name.
func fileName(reference string) string {
	return strings.NewReplacer("/", "_", ":", "_").Replace(reference) + ".tar"
}
