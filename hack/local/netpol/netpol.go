// Package netpol enforces Kubernetes NetworkPolicies, ingress and egress, in
// the network namespace that it runs in: the policy engine of
// sigs.k8s.io/kube-network-policies behind a netfilter queue. The queue is an
// xtables rule because not every kernel has it as an nftables expression.
//
// It knows a pod before the pod's first packet: the node's CNI plugin (package
// plugin) reports each pod's addresses and waits for the answer before a
// container starts. A pod sends with its own addresses only: the kernel drops a
// packet that arrives on another interface than the one to which its source is
// routed (rp_filter), and each pod has an interface of its own.
//
// Limits: IPv4; policies are evaluated for new connections, and established
// ones continue; ICMP to and from pods is dropped, with or without a policy.
// While no enforcer runs, no packet passes, because the kernel drops packets
// that no program takes off the queue, and no pod starts. An enforcer that was
// restarted knows the pods that ran before from the API.
package netpol

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/florianl/go-nfqueue/v2"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
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
	// Socket is the path of the Unix socket on which the CNI plugin reports
	// pods.
	Socket string
	// Log gets a line for each refused connection.
	Log *slog.Logger

	engine   *networkpolicy.PolicyEngine
	pods     api.PodInfoProvider
	attached attachments
}

// Run enforces until the context ends. The rules remain, and drop all packets.
func (e *Enforcer) Run(ctx context.Context) error {
	if err := errors.Join(checkSources(), e.queuePackets(ctx)); err != nil {
		return err
	}
	pods, err := e.watch(ctx)
	if err != nil {
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
	return e.attached.serve(ctx, e.Socket, pods)
}

// watch fills the engine's caches, and returns the one of pods.
func (e *Enforcer) watch(ctx context.Context) (corelisters.PodLister, error) {
	factory := informers.NewSharedInformerFactory(e.Client, 0)
	namespaces, policies, pods := factory.Core().V1().Namespaces(), factory.Networking().V1().NetworkPolicies(), factory.Core().V1().Pods()
	resolver, err := podinfo.NewInformerResolver(pods.Informer())
	if err != nil {
		return nil, err
	}
	provider := podinfo.NewInformerProvider(pods, namespaces, nil, []podinfo.IPResolver{&e.attached, resolver})
	e.pods = provider
	e.engine = networkpolicy.NewPolicyEngine(provider,
		[]api.PolicyEvaluator{networkpolicy.NewStandardNetworkPolicy(e.Node, namespaces, pods, policies)})
	factory.Start(ctx.Done())
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return nil, fmt.Errorf("filling the cache of %s: %w", kind, context.Cause(ctx))
		}
	}
	return pods.Lister(), nil
}

func (e *Enforcer) admits(ctx context.Context, payload []byte) bool {
	packet, err := network.ParsePacket(payload)
	if err != nil {
		return false
	}
	if source, ok := netip.AddrFromSlice(packet.SrcIP.To4()); ok && e.PodCIDR.Contains(source) {
		if _, known := e.pods.GetPodInfoByIP(source.String()); !known {
			// The engine would accept the packet: it cannot know
			// the policies of a pod that it does not know.
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
