// Command cert-manager runs cert-manager's controller, webhook or cainjector as
// a plain process outside of a cluster, for tests on loopback and for the local
// environment. Issuers: CA and self-signed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	logf "github.com/cert-manager/cert-manager/pkg/logs"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cert-manager:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("usage: cert-manager controller|webhook|cainjector [--kubeconfig FILE] ...")
	}
	flags := flag.NewFlagSet(args[1], flag.ContinueOnError)
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig `file`")
	namespace := flags.String("namespace", "cert-manager", "namespace of cert-manager's own objects")
	secret := flags.String("ca-secret", "cert-manager-webhook-ca", "Secret of the webhook's CA")
	port := flags.Int("port", 10250, "port of the webhook")
	healthzPort := flags.Int("healthz-port", 6080, "port of the webhook's probes")
	if err := flags.Parse(args[2:]); err != nil {
		return err
	}
	log := zap.New()
	ctrl.SetLogger(log)
	ctx = logf.NewContext(ctx, log)

	switch args[1] {
	case "controller":
		return runController(ctx, *kubeconfig, *namespace)
	case "webhook":
		return runWebhook(ctx, webhookOptions{*kubeconfig, *namespace, *secret, *port, *healthzPort})
	case "cainjector":
		return runCAInjector(ctx, *kubeconfig)
	}
	return fmt.Errorf("unknown component %q: controller, webhook or cainjector", args[1])
}
