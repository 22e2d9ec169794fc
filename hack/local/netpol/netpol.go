// Package netpol enforces Kubernetes NetworkPolicies, ingress and egress, in
// the network namespace that it runs in: the policy engine of
// sigs.k8s.io/kube-network-policies behind a netfilter queue. The queue is an
// xtables rule because not every kernel has it as an nftables expression.
//
// Limits: IPv4; policies are evaluated for new connections, and established
// ones continue; ICMP to and from pods is dropped, with or without a policy; a
// pod whose address the API does not show yet cannot open connections. While no
// enforcer runs, no packet passes: the kernel drops packets that no program
// takes off the queue.
package netpol

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/kube-network-policies/pkg/api"
	"sigs.k8s.io/kube-network-policies/pkg/network"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
	"sigs.k8s.io/kube-network-policies/pkg/podinfo"
)

// queueNumber belongs to this network namespace only.
const queueNumber = 99

// Enforcer decides about the packets of one node's pods.
type Enforcer struct {
	// Client reads pods, namespaces and policies.
	Client kubernetes.Interface
	// Node is the node's name; PodCIDR is the range of its pods.
	Node    string
	PodCIDR netip.Prefix
	// Log gets a line for each refused connection.
	Log *slog.Logger

	engine *networkpolicy.PolicyEngine
	pods   api.PodInfoProvider
}

// Run enforces until the context ends. The rules remain, and drop all packets.
func (e *Enforcer) Run(ctx context.Context) error {
	if err := e.rules(ctx); err != nil {
		return err
	}
	if err := e.watch(ctx); err != nil {
		return err
	}
	queue, err := nfqueue.Open(&nfqueue.Config{
		NfQueue: queueNumber, Copymode: nfqueue.NfQnlCopyPacket,
		MaxPacketLen: 256, // the headers
		MaxQueueLen:  1024, WriteTimeout: time.Second,
	})
	if err != nil {
		return fmt.Errorf("netfilter queue %d: %w", queueNumber, err)
	}
	defer queue.Close()

	err = queue.RegisterWithErrorFunc(ctx, func(a nfqueue.Attribute) int {
		verdict := nfqueue.NfDrop
		if a.Payload != nil && e.admits(ctx, *a.Payload) {
			verdict = nfqueue.NfAccept
		}
		if err := queue.SetVerdict(*a.PacketID, verdict); err != nil {
			e.Log.Error("setting a verdict", "error", err)
		}
		return 0
	}, func(err error) int {
		if ctx.Err() == nil {
			e.Log.Error("netfilter queue", "error", err)
		}
		return 0
	})
	if err != nil {
		return fmt.Errorf("netfilter queue %d: %w", queueNumber, err)
	}
	e.Log.Info("enforcing NetworkPolicies", "node", e.Node, "pods", e.PodCIDR)
	<-ctx.Done()
	return nil
}

// watch fills the engine's caches.
func (e *Enforcer) watch(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(e.Client, 0)
	namespaces, policies, pods := factory.Core().V1().Namespaces(), factory.Networking().V1().NetworkPolicies(), factory.Core().V1().Pods()
	resolver, err := podinfo.NewInformerResolver(pods.Informer())
	if err != nil {
		return err
	}
	provider := podinfo.NewInformerProvider(pods, namespaces, nil, []podinfo.IPResolver{resolver})
	e.pods = provider
	e.engine = networkpolicy.NewPolicyEngine(provider,
		[]api.PolicyEvaluator{networkpolicy.NewStandardNetworkPolicy(e.Node, namespaces, pods, policies)})
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("filling the cache of %s: %w", kind, context.Cause(ctx))
		}
	}
	return nil
}

func (e *Enforcer) admits(ctx context.Context, payload []byte) bool {
	packet, err := network.ParsePacket(payload)
	if err != nil {
		return false
	}
	if source, ok := netip.AddrFromSlice(packet.SrcIP.To4()); ok && e.PodCIDR.Contains(source) {
		if _, known := e.pods.GetPodInfoByIP(source.String()); !known {
			// The engine would accept the packet: it cannot know
			// the policies of a pod that it does not know yet.
			e.Log.Info("refused: source unknown", "packet", packet.MarshalLog())
			return false
		}
	}
	ok, err := e.engine.EvaluatePacket(ctx, &packet)
	if !ok || err != nil {
		e.Log.Info("refused", "packet", packet.MarshalLog(), "error", err)
		return false
	}
	return true
}

// rules send packets that open a connection from or to a pod to the queue.
func (e *Enforcer) rules(ctx context.Context) error {
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
