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
	webhookRepository = "egress.scw/webhook"
	webhookTag        = "dev"
	ProbeImage        = "egress-local/probe:dev"
	demoImage         = "egress.scw/demo:dev"
	coreDNSImage      = "egress-local/coredns:dev"
)

//go:embed coredns.yaml
var coreDNSManifests string

func (e *Environment) startNode(ctx context.Context) error {
	authority, err := os.ReadFile(e.CAFile())
	if err != nil {
		return err
	}
	image := func(reference, binary string, args ...string) images.Image {
		return images.Image{
			Reference:      reference,
			Binaries:       map[string]string{"/program": binary},
			CACertificates: authority,
			Entrypoint:     append([]string{"/program"}, args...),
		}
	}
	if err := node.Start(ctx, node.Config{
		Cluster: e.Cluster, Netns: e.Plan.Netns(network.Node), Address: e.Plan.NodeAddress, Self: e.binaries.local,
		Images: []images.Image{
			image(node.PauseImage, e.binaries.probe, "pause"),
			image(ProbeImage, e.binaries.probe),
			image(coreDNSImage, e.binaries.coreDNS),
			image(webhookRepository+":"+webhookTag, e.binaries.webhook),
			image(demoImage, e.binaries.demo),
		},
	}); err != nil {
		return err
	}
	if err := node.WaitReady(ctx, e.Cluster); err != nil {
		return err
	}
	if err := e.Cluster.Apply(ctx, fmt.Sprintf(coreDNSManifests, e.Plan.Resolver)); err != nil {
		return err
	}
	_, err = e.Cluster.Kubectl(ctx, nil, "--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s")
	return err
}
