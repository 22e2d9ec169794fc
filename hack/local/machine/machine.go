// Package machine boots the servers that the fake Scaleway API has powered on:
// a Debian whose unmodified cloud-init finds Scaleway's metadata service, runs
// the user data from there, and installs packages. systemd-nspawn gives it
// processes, mounts and a network of its own. Its kernel is this machine's.
//
// A machine's disk is a folder over the root filesystem that all machines
// share, and survives until Remove. Its network is recreated with each boot:
// after a reboot only those settings exist that the machine makes again by
// itself.
package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"egress.scw/hack/local/cgroup"
	"egress.scw/hack/local/process"
)

// Config describes a machine and its connections.
type Config struct {
	// Environment owns the machine's processes. Its folder contains the
	// disk and the logs.
	Environment process.Environment
	// Name is unique among the machines of all environments.
	Name string
	// RootFS is the machine's root filesystem. PackagesURL is the URL at
	// which its apt finds RootFS.Packages.
	RootFS      RootFS
	PackagesURL string
	// Netns is a network namespace that contains its NICs before it boots.
	Netns string
	// NICs are its network cards. cloud-init expects the metadata service
	// behind the first by name.
	NICs []NIC
}

// NIC is a network card, with the DHCP server that configures it.
type NIC struct {
	// Name is the NIC's name in the machine: ens2.
	Name string
	MAC  string
	// Netns is the network namespace of the cable's other end, Bridge the
	// bridge there that the cable is connected to.
	Netns, Bridge string
	DHCP          DHCP
}

// VM is a running machine.
type VM struct {
	config  Config
	process process.Process
	// init is the machine's first process.
	init int
}

// stopTimeout bounds the machine's shutdown. Squid alone waits 5 s for its
// tunnels.
const stopTimeout = 90 * time.Second

// cgroupOf is the cgroup of a machine. It contains the machine's processes and
// no others. With version 1 it is made in the hierarchies that systemd-nspawn
// gives the machine a part of.
func cgroupOf(name string) cgroup.Group {
	return cgroup.Group{Name: "egress-machine-" + name, Hierarchies: []string{"systemd", "unified", "memory", "cpuacct"}}
}

func (c Config) process() string             { return "machine-" + c.Name }
func (c Config) dhcpProcess(n NIC) string    { return c.process() + "-dhcp-" + n.Name }
func (c Config) folder() string              { return filepath.Join(string(c.Environment), "machines", c.Name) }
func (c Config) inFolder(name string) string { return filepath.Join(c.folder(), name) }

// Disk is the folder with all files that the machine has written, under their
// paths in the machine.
func (c Config) Disk() string { return filepath.Join(c.folder(), "disk") }

// cable is the name of a NIC's other end. Names of links have at most 15
// characters.
func (c Config) cable(n NIC) string {
	name := c.Name + "-" + n.Name
	return name[max(0, len(name)-15):]
}

// Boot powers a machine on, with its existing disk or a new one. It returns
// once the machine's first process runs. If the machine runs already, it is
// powered off first.
func Boot(ctx context.Context, config Config) (*VM, error) {
	if err := config.stop(ctx, stopTimeout); err != nil {
		return nil, err
	}
	vm, err := boot(ctx, config)
	if err != nil {
		err = errors.Join(err, config.stop(context.WithoutCancel(ctx), 0))
	}
	return vm, err
}

func boot(ctx context.Context, config Config) (*VM, error) {
	if err := config.prepareDisk(); err != nil {
		return nil, err
	}
	for _, nic := range config.NICs {
		if err := config.plugIn(ctx, nic); err != nil {
			return nil, err
		}
	}
	group := cgroupOf(config.Name)
	if err := group.Make(); err != nil {
		return nil, err
	}
	cgroups, err := group.Folders()
	if err != nil {
		return nil, err
	}
	started, err := config.Environment.Start(process.Command{
		Name: config.process(), Netns: config.Netns, Path: "unshare",
		Args: append([]string{"--mount", "--propagation=private", "/bin/sh", "-ec", nspawn, "sh"}, config.nspawnArguments(cgroups)...),
	})
	if err != nil {
		return nil, err
	}
	vm := &VM{config: config, process: started}
	return vm, vm.waitInit(ctx)
}

// Open returns the running machine, for a program that has not booted it.
func Open(ctx context.Context, config Config) (*VM, error) {
	processes, err := config.Environment.List()
	if err != nil {
		return nil, err
	}
	for _, p := range processes {
		if p.Name == config.process() {
			vm := &VM{config: config, process: p}
			return vm, vm.waitInit(ctx)
		}
	}
	return nil, fmt.Errorf("machine %s does not run", config.Name)
}

// prepareDisk makes the machine's disk, unless it has one.
func (c Config) prepareDisk() error {
	for _, name := range []string{"work", "root", "cgroup"} {
		if err := os.MkdirAll(c.inFolder(name), 0o755); err != nil {
			return err
		}
	}
	err := os.Mkdir(c.Disk(), 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"etc/apt/sources.list": repositorySource(c.PackagesURL),
		// A crash of this machine may cost a disk of a test machine.
		"etc/dpkg/dpkg.cfg.d/unsafe-io": "force-unsafe-io\n",
	} {
		name = filepath.Join(c.Disk(), name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// plugIn makes a NIC, connects it and starts its DHCP server. The machine sets
// the NIC up.
func (c Config) plugIn(ctx context.Context, nic NIC) error {
	for _, command := range []string{
		fmt.Sprintf("ip link add %s netns %s type veth peer name %s address %s netns %s", c.cable(nic), nic.Netns, nic.Name, nic.MAC, c.Netns),
		fmt.Sprintf("ip -n %s link set %s master %s up", nic.Netns, c.cable(nic), nic.Bridge),
	} {
		if err := run(ctx, command); err != nil {
			return err
		}
	}
	_, err := c.Environment.Start(nic.DHCP.command(c.dhcpProcess(nic), nic))
	return err
}

// Route leads an address to the first NIC of a machine, whichever machines answer ARP
// requests: Scaleway routes a flexible address to the server that it is attached to, also
// if another one still uses it.
func Route(ctx context.Context, config Config, address netip.Addr) error {
	nic := config.NICs[0]
	return run(ctx, fmt.Sprintf("ip -n %s neighbor replace %s lladdr %s dev %s nud permanent", nic.Netns, address, nic.MAC, nic.Bridge))
}

// noMachine is a MAC address that no NIC has.
const noMachine = "02:00:00:00:00:01"

// Withdraw undoes Route: packets to the address reach no machine, also if one still uses it.
func Withdraw(ctx context.Context, config Config, address netip.Addr) error {
	nic := config.NICs[0]
	return run(ctx, fmt.Sprintf("ip -n %s neighbor replace %s lladdr %s dev %s nud permanent", nic.Netns, address, noMachine, nic.Bridge))
}

// nspawn runs in a mount namespace of its own, with which its mounts disappear.
// /sys is mounted again because systemd-nspawn looks for the NICs there, and
// sees those of the namespace in which /sys was mounted.
const nspawn = `
root=$1 layers=$2 cgroup=$3; shift 3
while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done
shift
mount -t overlay egress-machine -o "$layers" "$root"
mount --rbind /sys/fs/cgroup "$cgroup"
mount -t sysfs -o ro sysfs /sys
mount --rbind "$cgroup" /sys/fs/cgroup
exec systemd-nspawn --directory="$root" "$@"`

func (c Config) nspawnArguments(cgroups []string) []string {
	args := []string{
		c.inFolder("root"), fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", c.RootFS.Root, c.Disk(), c.inFolder("work")), c.inFolder("cgroup"),
	}
	args = append(args, cgroups...)
	args = append(args, "--", "--quiet", "--machine="+c.Name, "--register=no", "--keep-unit", "--resolv-conf=off", "--timezone=off",
		"--link-journal=no", "--console=pipe", "--kill-signal=SIGRTMIN+3")
	for _, nic := range c.NICs {
		args = append(args, "--network-interface="+nic.Name)
	}
	// cloud-init recognises Scaleway's kernel by this word.
	return append(args, "/sbin/init", "scaleway")
}

// waitInit waits until systemd-nspawn has started the machine's first process.
func (vm *VM) waitInit(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("it does not start"))
	defer cancel()
	for {
		vm.init = firstProcess(vm.process.PID)
		if vm.init != 0 {
			return nil
		}
		if err := vm.pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// firstProcess returns the child of systemd-nspawn that is process 1 of a
// namespace, or 0.
func firstProcess(nspawn int) int {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", nspawn, nspawn))
	if err != nil {
		return 0
	}
	for child := range bytes.FieldsSeq(children) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%s/status", child))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			// NSpid: its PID in each namespace, the innermost last.
			if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "NSpid:" && fields[len(fields)-1] == "1" {
				pid, err := strconv.Atoi(string(child))
				if err == nil && programOf(pid) != "systemd-nspawn" {
					return pid
				}
			}
		}
	}
	return 0
}

func programOf(pid int) string {
	target, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

// pause waits a moment. It returns an error if the machine has stopped or the
// context has ended.
func (vm *VM) pause(ctx context.Context, moment time.Duration) error {
	if !vm.process.Alive() {
		return fmt.Errorf("machine %s has stopped; the end of its console:\n%s", vm.config.Name, vm.config.Environment.Tail(vm.config.process()))
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("machine %s: %w; the end of its console:\n%s", vm.config.Name, context.Cause(ctx), vm.config.Environment.Tail(vm.config.process()))
	case <-time.After(moment):
		return nil
	}
}

// Exec runs a command in the machine, as root, and returns its output.
func (vm *VM) Exec(ctx context.Context, argv ...string) (string, error) {
	args := []string{"--target", strconv.Itoa(vm.init), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd"}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, argv...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("in machine %s: %s: %w: %s", vm.config.Name, strings.Join(argv, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Reboot shuts the machine down and boots it again.
func (vm *VM) Reboot(ctx context.Context) error {
	again, err := Boot(ctx, vm.config)
	if err == nil {
		*vm = *again
	}
	return err
}

// Stop shuts the machine down. Its disk is kept.
func (vm *VM) Stop(ctx context.Context) error { return vm.config.stop(ctx, stopTimeout) }

// Unplug removes the machine's NICs, the last one first. Its programs run on, and send
// nothing more.
func (vm *VM) Unplug(ctx context.Context) error {
	var errs []error
	// The public one is the first: a machine without it alone would still accept
	// tunnels.
	for _, nic := range slices.Backward(vm.config.NICs) {
		errs = append(errs, vm.config.unplug(ctx, nic))
	}
	return errors.Join(errs...)
}

// Kill ends the machine as a loss of power does: the kernel does not close its
// connections either. Its disk is kept. The DHCP servers are of the networks, and go on
// until the machine boots again or is removed.
func (vm *VM) Kill(ctx context.Context) error {
	return errors.Join(vm.Unplug(ctx), vm.config.end(ctx, 0))
}

// Stop shuts a machine down that another program may have booted. Its disk is
// kept. It is not an error if it does not run.
func Stop(ctx context.Context, config Config) error { return config.stop(ctx, stopTimeout) }

// Remove ends the machine at once, if it runs, and removes its disk.
func Remove(ctx context.Context, config Config) error {
	if err := config.stop(ctx, 0); err != nil {
		return err
	}
	return os.RemoveAll(config.folder())
}

// stop ends the machine and removes everything of it except its disk.
func (c Config) stop(ctx context.Context, grace time.Duration) error {
	errs := []error{c.end(ctx, grace)}
	for _, nic := range c.NICs {
		errs = append(errs, c.Environment.Stop(ctx, 5*time.Second, c.dhcpProcess(nic)), c.unplug(ctx, nic))
	}
	return errors.Join(errs...)
}

// end ends the machine's processes.
func (c Config) end(ctx context.Context, grace time.Duration) error {
	if err := c.Environment.Stop(ctx, grace, c.process()); err != nil {
		return err
	}
	// systemd-nspawn may have ended while processes of the machine still
	// run.
	return errors.Join(cgroupOf(c.Name).Remove(ctx), c.removePropagation())
}

// removePropagation removes a folder that systemd-nspawn leaves on machines
// whose /run is on a disk.
func (c Config) removePropagation() error {
	err := os.Remove(filepath.Join("/run/systemd/nspawn/propagate", c.Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// unplug removes a NIC. The kernel removes both ends together. Both may
// disappear with the machine's namespace, a moment later than the machine.
func (c Config) unplug(ctx context.Context, nic NIC) error {
	exists := func() bool {
		return exec.CommandContext(ctx, "ip", "-n", nic.Netns, "link", "show", c.cable(nic)).Run() == nil
	}
	if !exists() {
		return nil
	}
	if err := run(ctx, fmt.Sprintf("ip -n %s link delete %s", nic.Netns, c.cable(nic))); err != nil && exists() {
		return err
	}
	return nil
}

func run(ctx context.Context, command string) error {
	argv := strings.Fields(command)
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, bytes.TrimSpace(out))
	}
	return nil
}

// output returns the standard output of a command. The error contains its error output.
func output(ctx context.Context, argv ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
