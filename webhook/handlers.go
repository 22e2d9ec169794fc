package main

import (
	"context"
	"fmt"
	"log/slog"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"egress.scw/webhook/admission"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/controller"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/settings"
)

// addAdmission adds the handlers of admission requests for pods, namespaces and
// NetworkPolicies.
func addAdmission(ctx context.Context, manager ctrl.Manager, s *settings.Settings, injection *inject.Cluster, policies *controller.PolicyApplier, drain *drainer, logger *slog.Logger) error {
	budget := admission.NewBudget(s.MemoryLimit)
	neighbours, err := controller.NewNeighbours(ctx, manager.GetCache(), manager.GetClient(), s.ProtectedNamespaces)
	if err != nil {
		return err
	}
	pods, err := admission.NewHandler(admission.Options{
		Settings:   s,
		Cluster:    injection,
		Cache:      manager.GetClient(),
		Live:       manager.GetAPIReader(),
		Policies:   policies,
		Neighbours: neighbours,
		Budget:     budget,
		Logger:     logger,
		Metrics:    metrics.Registry,
	})
	if err != nil {
		return fmt.Errorf("setting up the admission handler: %w", err)
	}
	server := manager.GetWebhookServer()
	server.Register(names.PodHandlerPath, drain.handler(pods))
	namespaceAdmission, err := admission.NewNamespaceHandler(admission.NamespaceOptions{
		Settings: s.Namespaces,
		Cache:    manager.GetClient(),
		Live:     manager.GetAPIReader(),
		Policies: policies,
		Budget:   budget,
		Logger:   logger,
		Metrics:  metrics.Registry,
	})
	if err != nil {
		return fmt.Errorf("setting up the admission of namespaces: %w", err)
	}
	server.Register(names.NamespaceMutationPath, drain.handler(namespaceAdmission.Mutate()))
	server.Register(names.NamespaceValidationPath, drain.handler(namespaceAdmission.Validate()))
	policyAdmission, err := admission.NewPolicyHandler(budget, logger, metrics.Registry)
	if err != nil {
		return fmt.Errorf("setting up the admission of NetworkPolicies: %w", err)
	}
	server.Register(names.PolicyValidationPath, drain.handler(policyAdmission))
	server.Register(names.NamespaceDeletionPath, drain.handler(namespaceAdmission.Delete()))
	return nil
}
