package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"egress.scw/bootstrap/watch"
	"egress.scw/webhook/api/names"
)

func (p *program) watchCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "watch",
		Short: "Apply again and again, with the EgressTenants of the cluster",
		Long: `watch makes a plan every minute, and at once when an EgressTenant changes, and
executes it without confirmation: it repairs differences, creates lost resources
again, and carries the EgressTenants of the cluster to the proxy. It is meant to
run in the cluster (value watch.enabled of the chart). Elsewhere, KUBECONFIG
names the cluster.

An EgressTenant takes the place of the tenant of the same name in egress.yaml;
tenants that only one of the two has are served too.

A plan that replaces or deletes a resource is not executed, unless
--allow-replace or --allow-delete permits it; the address of a tenant is deleted
when its EgressTenant is. The first apply, which creates the stack, is made by a
person.

Only one watcher is active: the one that holds the Lease egress-bootstrap.
Events about that Lease, and metrics, tell its actions. It writes no file. The
values of the chart are in the ConfigMap egress-bootstrap-values.`,
		Example: `  bootstrap watch
  bootstrap watch --config /etc/egress/egress.yaml --interval 5m
  kubectl --namespace egress-system describe lease egress-bootstrap`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return p.watch(command.Context()) },
	}
	p.options.addWatch(command)
	p.options.addDrainTimeout(command)
	return command
}

// syncPatience is how long the first pass waits for the EgressTenants.
const syncPatience = 10 * time.Second

// watch runs the command of this name. The end of the context is its regular end.
func (p *program) watch(ctx context.Context) error {
	if err := errors.Join(p.options.validate(), p.options.validateWatch()); err != nil {
		return err
	}
	config, err := p.kubernetes()
	if err != nil {
		return err
	}
	config.UserAgent = "egress-bootstrap/" + buildVersion()
	cluster, err := watch.NewCluster(config, p.options.namespace)
	if err != nil {
		return err
	}
	// Events and metrics outlive the last pass.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	monitor := watch.NewMonitor(cluster.Recorder(serving), cluster.Lease())
	health := &watch.Health{Patience: p.options.timeout + p.options.interval + 2*watch.MaxPause}
	if p.options.listen != "" {
		if err := watch.ServeMetrics(serving, p.options.listen, monitor.Registry); err != nil {
			return err
		}
	}
	if p.options.listenHealth != "" {
		if err := health.Serve(serving, p.options.listenHealth); err != nil {
			return err
		}
	}
	go cluster.Run(ctx)
	w := &watcher{program: p, cluster: cluster, monitor: monitor}
	p.note("waiting for the Lease %s/%s", p.options.namespace, names.WatchLease)
	return watch.Lead(ctx, cluster.Leases, p.options.namespace, p.identity(), func(leading context.Context) {
		p.note("watching")
		cluster.Synced(leading, syncPatience)
		watch.Loop{
			Interval: p.options.interval, Changed: cluster.Changed(),
			Pass: func(ctx context.Context) watch.Result {
				health.Alive()
				defer health.Alive()
				return w.pass(ctx)
			},
		}.Run(leading)
	})
}

// identity names this process in the Lease. In a pod it is the name of the pod, so that
// a container that starts again need not wait for its own Lease to expire.
func (p *program) identity() string {
	if pod := p.getenv("POD_NAME"); pod != "" {
		return pod
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "_" + string(uuid.NewUUID())
}

// kubernetesConfig returns the cluster that KUBECONFIG names, and otherwise the one that
// the process runs in.
func kubernetesConfig() (*rest.Config, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, errors.New("there is no cluster: run in a pod, or set KUBECONFIG")
	case err != nil:
		return nil, fmt.Errorf("KUBECONFIG: %w", err)
	}
	return config, nil
}
