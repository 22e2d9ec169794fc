package environment

import (
	"context"
	_ "embed"
	"fmt"
	"os"

	"egress.scw/hack/local/images"
	"egress.scw/hack/local/network"
	"egress.scw/hack/local/node"
)

// Images of the environment.
const (
	ProbeImage   = "egress-local/probe:dev"
	coreDNSImage = "egress-local/coredns:dev"
	// imageTag is the tag of the product's images, as in the demo's manifests.
	imageTag = "dev"
)

//go:embed coredns.yaml
var coreDNSManifests string

func (e *Environment) startNode(ctx context.Context) error {
	authority, err := os.ReadFile(e.CAFile())
	if err != nil {
		return err
	}
	if err := node.Start(ctx, node.Config{
		Cluster: e.Cluster, Netns: e.Plan.Netns(network.Node), Address: e.Plan.NodeAddress, Self: e.binaries.local, Plugin: e.binaries.netpolPlugin, Cilium: e.binaries.cilium,
		Images: append([]images.Image{
			images.Program(node.PauseImage, e.binaries.probe, authority, "pause"),
			images.Program(ProbeImage, e.binaries.probe, authority),
			images.Program(coreDNSImage, e.binaries.coreDNS, authority),
		}, e.productImages(authority)...),
	}); err != nil {
		return err
	}
	err = e.waitFirstPods(ctx)
	if err != nil && e.binaries.cilium != nil {
		return fmt.Errorf("%w\nthe end of the log of Cilium's agent, without which no pod starts:\n%s", err, e.processes.Tail(node.CiliumAgent))
	}
	return err
}

// waitFirstPods waits for the node, and for the cluster's DNS on it.
func (e *Environment) waitFirstPods(ctx context.Context) error {
	if err := node.WaitReady(ctx, e.Cluster); err != nil {
		return err
	}
	if err := e.Cluster.Apply(ctx, fmt.Sprintf(coreDNSManifests, e.Plan.Resolver)); err != nil {
		return err
	}
	_, err := e.Cluster.Kubectl(ctx, nil, "--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=600s")
	return err
}

// Import adds an image to the store of the node.
func (e *Environment) Import(ctx context.Context, image images.Image) error {
	return node.Import(ctx, e.processes, image)
}

// productImages are the images of webhook, sidecar and demo.
func (e *Environment) productImages(authority []byte) []images.Image {
	if e.released != nil {
		return e.released.images(authority)
	}
	return []images.Image{
		images.Product("webhook", imageTag, e.binaries.webhook, authority),
		images.Product("sidecar", imageTag, e.binaries.sidecar, authority),
		images.Product("demo", imageTag, e.binaries.demo, authority),
	}
}
