package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/miekg/dns"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"egress.scw/charts"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/controller"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/settings"
)

// addControllers adds the controllers of namespaces and tenants, and the upgrade of
// the CRD.
func addControllers(ctx context.Context, manager ctrl.Manager, s *settings.Settings, injection *inject.Cluster, plugins []controller.PolicyKind, policies *controller.PolicyApplier) error {
	definition, err := controller.NewCRDApplier(manager.GetClient(), manager.GetAPIReader(), charts.EgressTenantCRD)
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
		Unsupported: injection.Unsupported, DirectURL: injection.DirectURL, NoProxy: injection.NoProxy, PluginPolicies: plugins, Egress: s.Proxy.Egress, Events: recorder,
	}
	if s.Proxy.AcceptsSidecars() {
		if tenants.Sidecars, err = addSidecars(manager, s, injection); err != nil {
			return err
		}
	}
	if s.Proxy.VerifyPorts {
		tenants.Proxy = controller.NewProxyProber(manager.GetClient(), s.Proxy.Addresses)
		tenants.Proxy.UseSpare(s.Proxy.Spare)
		if tenants.Sidecars != nil && s.Proxy.Identity == v1alpha1.IdentityRequired {
			tenants.Proxy.UseCertificates(tenants.Sidecars, s.Proxy.Machines)
		}
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
	namespace, err := ownNamespace(s)
	if err != nil {
		return err
	}
	tenants.Services = controller.NewTenantServices(manager.GetClient(), namespace, &s.Proxy, reachability(tenants.Proxy))
	return errors.Join(
		namespaces.SetupWithManager(manager),
		tenants.SetupWithManager(manager),
		manager.Add(definition),
	)
}

// reachability returns what is known about the machines of the proxy: nothing without a
// prober.
func reachability(prober *controller.ProxyProber) controller.Reachability {
	if prober == nil {
		return nil
	}
	return prober
}

// addProber adds the prober of the proxies, which runs on the leader, and its metrics.
func addProber(ctx context.Context, manager ctrl.Manager, prober *controller.ProxyProber) error {
	if err := metrics.Registry.Register(prober); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	return prober.SetupWithManager(ctx, manager)
}

// resolvConf contains the addresses of the cluster's DNS: the kubelet gives the
// webhook's pods the same as every pod without a dnsPolicy of its own.
const resolvConf = "/etc/resolv.conf"

// addSidecars adds the controller of the sidecars' certificates.
func addSidecars(manager ctrl.Manager, s *settings.Settings, injection *inject.Cluster) (*controller.SidecarReconciler, error) {
	resolvers, err := clusterResolvers(resolvConf)
	if err != nil {
		return nil, err
	}
	namespace, err := ownNamespace(s)
	if err != nil {
		return nil, err
	}
	sidecars := controller.NewSidecarReconciler(controller.SidecarOptions{
		Client: manager.GetClient(), Live: manager.GetAPIReader(), Namespace: namespace, Settings: s, Resolvers: resolvers,
		Unsupported: injection.Unsupported, DirectNames: injection.DirectNames,
	})
	return sidecars, sidecars.SetupWithManager(manager)
}

// clusterResolvers returns the name servers in a file, but those on loopback, which
// are not those of a cluster.
func clusterResolvers(file string) (controller.Resolvers, error) {
	config, err := dns.ClientConfigFromFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the addresses of the cluster's DNS: %w", err)
	}
	var resolvers controller.Resolvers
	for _, server := range config.Servers {
		if address, err := netip.ParseAddr(server); err == nil && !address.IsLoopback() && address.Zone() == "" {
			resolvers = append(resolvers, address.Unmap())
		}
	}
	return resolvers, nil
}

// ownNamespaceFile contains the namespace of the pod, beside its token.
const ownNamespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// ownNamespace returns the namespace of the webhook: that of its Lease.
func ownNamespace(s *settings.Settings) (string, error) {
	if s.LeaderElection.Namespace != "" {
		return s.LeaderElection.Namespace, nil
	}
	namespace, err := os.ReadFile(ownNamespaceFile)
	if err != nil {
		return "", fmt.Errorf("reading the namespace of the webhook, which the settings do not have in leaderElection.namespace: %w", err)
	}
	return strings.TrimSpace(string(namespace)), nil
}
