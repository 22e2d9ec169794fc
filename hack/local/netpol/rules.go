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

// queuePackets sends packets that open a connection from or to a pod to the queue. It keeps the
// rules of an enforcer before this one, without which packets would pass meanwhile.
func (e *Enforcer) queuePackets(ctx context.Context) error {
	const chain = "EGRESS-NETPOL"
	var errs []error
	if iptables(ctx, "-S", chain) != nil {
		errs = append(errs, iptables(ctx, "-N", chain))
	}
	var rules [][]string
	for _, direction := range []string{"-s", "-d"} {
		rules = append(rules, []string{
			chain, direction, e.PodCIDR.String(),
			"-m", "conntrack", "--ctstate", "NEW", "-j", "NFQUEUE", "--queue-num", strconv.Itoa(queueNumber),
		})
	}
	for _, hook := range []string{"FORWARD", "INPUT"} {
		rules = append(rules, []string{hook, "-j", chain})
	}
	for _, rule := range rules {
		if iptables(ctx, append([]string{"-C"}, rule...)...) != nil { // it does not exist
			errs = append(errs, iptables(ctx, append([]string{"-A"}, rule...)...))
		}
	}
	return errors.Join(errs...)
}

func iptables(ctx context.Context, args ...string) error {
	argv := append([]string{"iptables-nft", "-w", "-t", "mangle"}, args...)
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return nil
}
