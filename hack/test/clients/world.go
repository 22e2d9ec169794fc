package clients

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"egress.scw/hack/local/internet"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/network"
	"egress.scw/hack/test/clients/matrix"
	"egress.scw/hack/test/clients/recorder"
)

// nameServer is the address of the cluster's DNS.
const nameServer = "10.32.0.10"

// world is the network around one client: a network namespace without a way out.
type world struct {
	netns    string
	recorder *recorder.Recorder
	stop     func() error
}

// newWorld makes the network. folder is for the files of its services.
func newWorld(ctx context.Context, name, folder string, root *root, proxy netip.AddrPort) (w *world, err error) {
	w = &world{netns: network.TestPrefix + "client-" + name, stop: func() error { return nil }}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close(ctx))
		}
	}()
	if err := w.createNetwork(ctx, proxy.Addr()); err != nil {
		return w, err
	}
	err = machine.Within(w.netns, func() error {
		w.recorder, err = recorder.Start(ctx, proxy, root.certificate)
		return err
	})
	if err != nil {
		return w, err
	}
	return w, w.serveNames(ctx, folder)
}

// createNetwork makes the namespace. All addresses are its own: no other network is
// connected to it.
func (w *world) createNetwork(ctx context.Context, proxy netip.Addr) error {
	commands := []string{"netns add " + w.netns, "-n " + w.netns + " link set lo up"}
	assigned := map[netip.Addr]bool{}
	assign := func(address netip.Addr) {
		if !assigned[address] && !address.IsLoopback() {
			commands = append(commands, fmt.Sprintf("-n %s address add %s/32 dev lo", w.netns, address))
		}
		assigned[address] = true
	}
	assign(proxy)
	assign(netip.MustParseAddr(nameServer))
	assign(netip.MustParseAddr(matrix.OwnIP))
	for _, target := range matrix.Targets() {
		assign(target.Address)
	}
	for _, command := range commands {
		if err := output(exec.CommandContext(ctx, "ip", strings.Fields(command)...)); err != nil {
			return fmt.Errorf("ip %s: %w", command, err)
		}
	}
	return nil
}

// serveNames starts the cluster's DNS.
func (w *world) serveNames(ctx context.Context, folder string) error {
	config := internet.Config{
		Zone: matrix.Zone(), NameServers: []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(nameServer), 53)},
		Control: filepath.Join(folder, "control"), Events: io.Discard,
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() {
		ended <- machine.Within(w.netns, func() error { return internet.Serve(ctx, config) })
	}()
	w.stop = func() error {
		cancel()
		return <-ended
	}
	for client := internet.NewClient(config.Control); client.Ready(ctx) != nil; time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("the cluster's DNS: %w", err)
		default:
		}
	}
	return nil
}

// close removes the network, also after the end of the context.
func (w *world) close(ctx context.Context) error {
	err := w.stop()
	if w.recorder != nil {
		err = errors.Join(err, w.recorder.Close())
	}
	return errors.Join(err, output(exec.CommandContext(context.WithoutCancel(ctx), "ip", "netns", "delete", w.netns)))
}

//go:embed enter.sh
var enter string

// limit bounds one request: also on a busy machine, no client takes as long unless it
// hangs.
const limit = time.Minute

// settle is the time in which the recorder accepts the connections of a client that
// has ended.
const settle = 50 * time.Millisecond

// request runs the client once for the target. programs is the layer with the
// programs, above the root filesystem.
func (w *world) request(ctx context.Context, root *root, programs string, client *matrix.Client, target matrix.Target, environment []string) (matrix.Observation, string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	w.recorder.Take()
	args := []string{
		"--net=/run/netns/" + w.netns, "timeout", "--signal=KILL", fmt.Sprint(limit.Seconds()), // also without this program
		"unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child",
		"sh", "-euc", enter, "sh", matrix.Hostname, programs + ":" + root.path(), root.mountpoint(), "env", "-i",
	}
	args = append(args, "PATH="+matrix.Programs+":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
		"NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt", "DENO_TLS_CA_STORE=system", "DENO_NO_UPDATE_CHECK=1")
	args = append(args, environment...)
	cmd := exec.CommandContext(ctx, "nsenter", append(args, client.Command(target, "/")...)...)
	out, err := cmd.CombinedOutput()
	time.Sleep(settle)
	printed := strings.TrimSpace(string(out[max(0, len(out)-600):]))
	if err != nil {
		printed = fmt.Sprintf("%v: %s", err, printed)
	}
	return w.recorder.Take(), printed
}
