package netpol

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sourceChecks are the kernel's settings of the check of source addresses, in
// this network namespace: one an interface, beside "default" for those to come
// and "all", which can only raise the others.
const sourceChecks = "/proc/sys/net/ipv4/conf/*/rp_filter"

// checkSources has the kernel drop each packet whose source is not routed to the
// interface on which the packet has arrived (1, the strict check of RFC 3704).
func checkSources() error {
	settings, err := filepath.Glob(sourceChecks)
	if err != nil || len(settings) == 0 {
		return errors.Join(fmt.Errorf("checking source addresses: no %s", sourceChecks), err)
	}
	// The default first: an interface that is made meanwhile has it.
	slices.SortFunc(settings, func(a, b string) int {
		return cmp.Compare(strings.Count(b, "/default/"), strings.Count(a, "/default/"))
	})
	for _, setting := range settings {
		// An interface may have been removed meanwhile.
		if err := os.WriteFile(setting, []byte("1"), 0o644); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("checking source addresses: %w", err)
		}
	}
	return nil
}

// rules check the sources of packets, and send packets that open a connection
// from or to a pod to the queue.
func (e *Enforcer) rules(ctx context.Context) error {
	if err := checkSources(); err != nil {
		return err
	}
	const chain = "EGRESS-NETPOL"
	commands := [][]string{{"-N", chain}}
	for _, direction := range []string{"-s", "-d"} {
		commands = append(commands, []string{
			"-A", chain, direction, e.PodCIDR.String(),
			"-m", "conntrack", "--ctstate", "NEW", "-j", "NFQUEUE", "--queue-num", strconv.Itoa(queueNumber),
		})
	}
	for _, hook := range []string{"FORWARD", "INPUT"} {
		commands = append(commands, []string{"-A", hook, "-j", chain})
	}
	var errs []error
	for _, args := range commands {
		argv := append([]string{"iptables-nft", "-w", "-t", "mangle"}, args...)
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out))
		}
	}
	return errors.Join(errs...)
}
