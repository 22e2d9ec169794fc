package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/charts"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/controller"
)

// definitionTimeout bounds --apply-definition. The Job of the chart has a longer
// deadline.
const definitionTimeout = 60 * time.Second

// applyDefinition applies the definition of EgressTenant, and returns when the API
// server serves it.
func applyDefinition(ctx context.Context) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server (run in a pod, or set KUBECONFIG): %w", err)
	}
	c, err := client.New(config, client.Options{Scheme: runtime.NewScheme()})
	if err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	known, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("connecting to the API server: %w", err)
	}
	definition, err := controller.NewCRDApplier(c, c, charts.EgressTenantCRD)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, definitionTimeout)
	defer cancel()
	err = definition.ApplyAndWait(ctx, func(ctx context.Context) ([]byte, error) {
		return known.RESTClient().Get().AbsPath("/openapi/v3/apis/"+v1alpha1.GroupVersion.String()).SetHeader("Accept", "application/json").Do(ctx).Raw()
	})
	if err != nil {
		return fmt.Errorf("applying the definition of EgressTenant: %w", err)
	}
	return nil
}
