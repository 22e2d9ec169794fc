package environment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/cloudinit"
	"egress.scw/hack/network"
	"egress.scw/hack/process"
)

const processProxy = "squid"

// AuditLog is the file in which Squid notes every request, a JSON object a line.
func (e *Environment) AuditLog() string {
	return filepath.Join(logFolder(), filepath.Base(cloudinit.AuditLog))
}

// The folders that the machine sees in the places of /var/log/squid and /run,
// and its squid.conf.
func logFolder() string { return filepath.Join(Dir, "proxy") }
func runFolder() string { return filepath.Join(Dir, "proxy-run") }
func squidConf() string { return filepath.Join(Dir, "squid.conf") }

// machine stands in for the proxy's machine: it does with user data and public
// addresses what the machine does that cloud-init makes, in the proxy's network
// namespace. squid.conf is used as it was sent: Squid has a mount namespace, in
// which the folders that it writes to are the environment's.
type machine struct {
	plan      network.Plan
	processes process.Environment
	log       *slog.Logger

	// squid is the running one; its zero value: none.
	squid process.Process
	// live is the value of user data that Squid was last given.
	live []byte
}

// patience bounds everything that is done for one call.
const patience = 30 * time.Second

// PowerOn implements scwfake.Machines.
func (m *machine) PowerOn(state scwfake.Machine) { m.note("power on", m.become(state)) }

// Changed implements scwfake.Machines.
func (m *machine) Changed(state scwfake.Machine) { m.note("change", m.become(state)) }

// PowerOff implements scwfake.Machines.
func (m *machine) PowerOff(string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m.live = nil
	m.note("power off", errors.Join(
		m.processes.Stop(ctx, 10*time.Second, processProxy),
		network.SetProxyAddresses(ctx, m.plan, nil),
	))
}

func (m *machine) note(event string, err error) {
	if err != nil {
		m.log.Error("machine: "+event, "error", err)
		return
	}
	m.log.Info("machine: " + event)
}

// become brings the machine to what the API says of it. A squid.conf that Squid
// does not take is an error, and the old one stays.
func (m *machine) become(state scwfake.Machine) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := network.SetProxyAddresses(ctx, m.plan, state.PublicIPs); err != nil {
		return err
	}
	value := state.UserData[cloudinit.UserDataSquidConf]
	if m.squid.Alive() && bytes.Equal(value, m.live) {
		return nil
	}
	conf, err := cloudinit.DecodeSquidConf(value)
	if err != nil {
		return err
	}
	next := squidConf() + ".next"
	if err := os.WriteFile(next, conf, 0o644); err != nil {
		return err
	}
	if err := checkSquidConf(ctx, next); err != nil {
		return err
	}
	if err := os.Rename(next, squidConf()); err != nil {
		return err
	}
	m.live = value
	if m.squid.Alive() {
		return m.reload(ctx)
	}
	return m.start(ctx)
}

// checkSquidConf asks Squid's parser, which ends well in spite of some errors.
func checkSquidConf(ctx context.Context, file string) error {
	out, err := exec.CommandContext(ctx, "squid", "-k", "parse", "-f", file).CombinedOutput()
	complaint := regexp.MustCompile(`(?m)^.*(FATAL|ERROR|Bungled|[Uu]nrecognized).*$`)
	for _, line := range complaint.FindAll(out, -1) {
		if !bytes.Contains(line, []byte("| Processing: ")) { // a line of the file, whatever it says
			return fmt.Errorf("refused: %s", line)
		}
	}
	if err != nil {
		return fmt.Errorf("squid -k parse: %w: %s", err, out)
	}
	return nil
}

// start starts Squid and waits until it can be told to reload.
func (m *machine) start(ctx context.Context) error {
	for _, folder := range []string{logFolder(), runFolder()} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	// Squid gives up root before it opens its logs.
	if err := giveTo(logFolder(), "proxy"); err != nil {
		return err
	}
	pidFile := filepath.Join(runFolder(), filepath.Base(cloudinit.PIDFile))
	if err := os.RemoveAll(pidFile); err != nil {
		return err
	}
	const script = `mount --bind "$1" "$2"; mount --bind "$3" "$4"; shift 4; exec squid --foreground "$@"`
	var err error
	m.squid, err = m.processes.Start(process.Command{
		Name: processProxy, Netns: network.Proxy, Path: "unshare",
		Args: append([]string{
			"--mount", "--propagation=private", "/bin/sh", "-ec", script, "sh",
			logFolder(), filepath.Dir(cloudinit.AuditLog), runFolder(), filepath.Dir(cloudinit.PIDFile),
		}, squidArgs()...),
	})
	if err != nil {
		return err
	}
	for {
		if _, err := os.Stat(pidFile); err == nil {
			return nil
		}
		if !m.squid.Alive() {
			return fmt.Errorf("squid has ended; the end of its log:\n%s", m.processes.Tail(processProxy))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("squid does not come up: %w; the end of its log:\n%s", ctx.Err(), m.processes.Tail(processProxy))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// reload makes Squid read its file again. The command is told its process by
// the file of process numbers, which is in Squid's mount namespace.
func (m *machine) reload(ctx context.Context) error {
	args := append([]string{"--mount", "--target", strconv.Itoa(m.squid.PID), "squid", "-k", "reconfigure"}, squidArgs()...)
	if out, err := exec.CommandContext(ctx, "nsenter", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("squid -k reconfigure: %w: %s", err, out)
	}
	return nil
}

// squidArgs keep apart what Squids share on one machine: segments in /dev/shm
// are called after the name.
func squidArgs() []string { return []string{"-n", "egresslocal", "-f", squidConf()} }

func giveTo(path, name string) error {
	account, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(account.Gid)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}
