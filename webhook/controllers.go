package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"egress.scw/charts"
	"egress.scw/webhook/controller"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/settings"
)

// addControllers adds the controllers of namespaces and tenants, and the upgrade of
// the CRD.
func addControllers(ctx context.Context, manager ctrl.Manager, s *settings.Settings, injection *inject.Cluster, plugins []controller.PolicyKind, policies *controller.PolicyApplier) error {
	definition, err := controller.NewCRDApplier(manager.GetClient(), charts.EgressTenantCRD)
	if err != nil {
		return err
	}
	recorder, err := controller.NewEventRecorder(ctx, manager)
	if err != nil {
		return err
	}
	namespaces := &controller.NamespaceReconciler{
		Cache: manager.GetClient(), Live: manager.GetAPIReader(),
		Policies: policies, Protected: s.ProtectedNamespaces, Events: recorder, Writer: manager.GetClient(),
	}
	tenants := &controller.TenantReconciler{
		Client: manager.GetClient(), Policies: policies, Protected: s.ProtectedNamespaces,
		Unsupported: injection.Unsupported, ProxyURL: injection.ProxyURL, NoProxy: injection.NoProxy, PluginPolicies: plugins, Egress: s.Proxy.Egress, Events: recorder,
	}
	if s.Proxy.VerifyPorts {
		tenants.Proxy = controller.NewProxyProber(manager.GetClient(), s.Proxy.Addresses)
		if err := addProber(ctx, manager, tenants.Proxy); err != nil {
			return err
		}
	}
	if slices.Contains(plugins, controller.CiliumPolicies) {
		cilium := &controller.CiliumReconciler{
			Cache: manager.GetCache(), Writer: manager.GetClient(), Policies: policies,
			Protected: s.ProtectedNamespaces, Events: recorder,
		}
		if err := cilium.SetupWithManager(manager); err != nil {
			return err
		}
	}
	return errors.Join(
		namespaces.SetupWithManager(manager),
		tenants.SetupWithManager(manager),
		manager.Add(definition),
	)
}

// addProber adds the prober of the proxies, which runs on the leader, and its metrics.
func addProber(ctx context.Context, manager ctrl.Manager, prober *controller.ProxyProber) error {
	if err := metrics.Registry.Register(prober); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	return prober.SetupWithManager(ctx, manager)
}
