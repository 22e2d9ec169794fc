package main

import (
	"context"

	"github.com/cert-manager/cert-manager/internal/webhook"
	"github.com/cert-manager/cert-manager/pkg/webhook/options"
	ctrl "sigs.k8s.io/controller-runtime"
)

type webhookOptions struct {
	kubeconfig, namespace, secret string
	port, healthzPort             int
}

// runWebhook serves cert-manager's admission webhook as "localhost".
func runWebhook(ctx context.Context, o webhookOptions) error {
	configuration, err := options.NewWebhookConfiguration()
	if err != nil {
		return err
	}
	configuration.KubeConfig = o.kubeconfig
	configuration.SecurePort = int32(o.port)
	configuration.HealthzPort = int32(o.healthzPort)
	configuration.MetricsListenAddress = "0"
	configuration.TLSConfig.Dynamic.SecretNamespace = o.namespace
	configuration.TLSConfig.Dynamic.SecretName = o.secret
	configuration.TLSConfig.Dynamic.DNSNames = []string{"localhost"}
	server, err := webhook.NewCertManagerWebhookServer(ctrl.LoggerFrom(ctx), *configuration)
	if err != nil {
		return err
	}
	return server.Run(ctx)
}
