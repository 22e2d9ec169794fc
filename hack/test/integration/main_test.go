// Package integration tests the product against a real control plane on
// loopback: API server, controllers, scheduler and cert-manager are real, the
// chart is installed, pods run in name only (kwok). No root.
//
// There is one difference to a cluster: the API server calls the webhook by a
// URL on loopback, because kwok's pods have no address. The end-to-end tests
// cover the call through the Service.
package integration

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"testing"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/process"
	"egress.scw/hack/local/programs"
	"egress.scw/hack/local/progress"
	inprocess "egress.scw/hack/test/kubectl"
)

// fixture is shared by the tests of the package.
type fixture struct {
	cluster   *cluster.Cluster
	clientset *kubernetes.Clientset
	client    client.Client
	webhook   *webhookProcess
}

var shared *fixture

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	environment, err := process.Temporary()
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err := environment.Remove(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "integration: cleaning up:", err)
		}
	}()
	if shared, err = setUp(ctx, environment); err != nil {
		return fail(err)
	}
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "integration: setting up:", err)
	return 1
}

func setUp(ctx context.Context, environment process.Environment) (*fixture, error) {
	log := progress.New(os.Stderr)
	builder, err := programs.New()
	if err != nil {
		return nil, err
	}
	var kubernetesBinary, kwok, certManager, webhook string
	if err := log.Step("programs", func() error {
		for _, each := range []struct {
			program programs.Program
			path    *string
		}{
			{programs.Kubernetes(), &kubernetesBinary}, {programs.Kwok(), &kwok}, {programs.CertManager(), &certManager}, {programs.Webhook(), &webhook},
		} {
			if *each.path, err = builder.Build(ctx, each.program); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	f := &fixture{}
	if f.cluster, err = cluster.New(ctx, cluster.Config{
		Environment: environment, Binary: kubernetesBinary, Address: netip.MustParseAddr("127.0.0.1"),
		AuditedUser: webhookUser, Commands: inprocess.New().Run,
	}); err != nil {
		return nil, err
	}
	if err := log.Step("control plane", func() error { return f.cluster.Start(ctx) }); err != nil {
		return nil, err
	}
	if err := log.Step("kwok and cert-manager", func() error {
		if err := f.cluster.StartKwok(ctx, builder.Root(), kwok, 2); err != nil {
			return err
		}
		return f.cluster.StartCertManager(ctx, builder.Root(), certManager)
	}); err != nil {
		return nil, err
	}
	if f.clientset, err = f.cluster.Clientset(); err != nil {
		return nil, err
	}
	if f.client, err = newClient(f.cluster); err != nil {
		return nil, err
	}
	return f, log.Step("chart and webhook", func() error {
		f.webhook, err = installWebhook(ctx, f.cluster, f.client, builder.Root(), webhook)
		return err
	})
}
