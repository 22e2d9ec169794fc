package main

import (
	"context"
	"fmt"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/controller"
	"egress.scw/webhook/kubectl-egress/state"
	"egress.scw/webhook/settings"
)

// newScheme returns the types that the program reads and writes.
func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		admissionregistrationv1.AddToScheme, appsv1.AddToScheme, corev1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering types: %w", err)
		}
	}
	return scheme, nil
}

// connect returns the cluster that the flags select.
func connect(flags *genericclioptions.ConfigFlags) (*cluster, error) {
	config, err := flags.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster (set KUBECONFIG or --kubeconfig): %w", err)
	}
	config.UserAgent = "kubectl-egress/" + buildVersion()
	// The API server's priority and fairness bounds clients.
	config.QPS = -1
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	api, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return &cluster{client: api, logs: func(ctx context.Context, namespace, pod string) ([]byte, error) {
		// The container is named: other injectors add containers to the pod.
		return clientset.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{Container: probeContainer}).DoRaw(ctx)
	}}, nil
}

// read reads the State. namespace is the one whose policies and Services are read;
// empty means all of them.
func (c *cluster) read(ctx context.Context, releaseNamespace, namespace string) (*state.State, error) {
	s := &state.State{Policies: map[string]*networkingv1.NetworkPolicy{}, Foreign: map[string][]string{}}
	if err := c.readSettings(ctx, s, releaseNamespace); err != nil {
		return nil, err
	}
	objects, err := c.readObjects(ctx, namespace)
	if err != nil {
		return nil, err
	}
	s.Tenants, s.Namespaces, s.Services = objects.Tenants, objects.Namespaces, objects.Services
	if s.APIServer, err = controller.APIServerAddresses(ctx, c.client); err != nil {
		return nil, err
	}
	if err := c.readPolicies(ctx, s, namespace); err != nil {
		return nil, err
	}
	if s.MissingGuards, err = controller.MissingGuards(ctx, c.client); err != nil {
		return nil, err
	}
	return s, nil
}

// readSettings reads the settings of the webhook, and what else its pods' environment
// contains.
func (c *cluster) readSettings(ctx context.Context, s *state.State, releaseNamespace string) error {
	var configMap corev1.ConfigMap
	key := client.ObjectKey{Namespace: releaseNamespace, Name: names.SettingsConfigMap}
	if err := c.client.Get(ctx, key, &configMap); err != nil {
		return fmt.Errorf("reading the settings of the webhook, ConfigMap %s (--release-namespace): %w", key, err)
	}
	var err error
	if s.Settings, err = settings.Parse([]byte(configMap.Data[names.SettingsKey])); err != nil {
		return fmt.Errorf("ConfigMap %s:\n%w", key, err)
	}
	var apiServer corev1.Service
	if err := c.client.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}, &apiServer); err != nil {
		return fmt.Errorf("reading the address of the API server for pods: %w", err)
	}
	deployment, image, err := c.webhook(ctx, releaseNamespace)
	if err != nil {
		return err
	}
	s.Webhook = &state.Webhook{Name: releaseNamespace + "/" + deployment.Name, Ready: deployment.Status.ReadyReplicas}
	tag := image[strings.LastIndexByte(image, ':')+1:]
	if s.Cluster, err = state.NewCluster(s.Settings, apiServer.Spec.ClusterIP, tag); err != nil {
		return fmt.Errorf("ConfigMap %s: %w", key, err)
	}
	return nil
}

// webhook returns the Deployment of the webhook, and the image in it.
func (c *cluster) webhook(ctx context.Context, releaseNamespace string) (deployment *appsv1.Deployment, image string, err error) {
	var deployments appsv1.DeploymentList
	if err := c.client.List(ctx, &deployments, client.InNamespace(releaseNamespace), client.MatchingLabels{names.ChartLabel: names.ChartName}); err != nil {
		return nil, "", fmt.Errorf("reading the Deployment of the webhook: %w", err)
	}
	for i := range deployments.Items {
		for _, container := range deployments.Items[i].Spec.Template.Spec.Containers {
			return &deployments.Items[i], container.Image, nil
		}
	}
	return nil, "", fmt.Errorf("namespace %s has no Deployment with the label %s=%s (--release-namespace)", releaseNamespace, names.ChartLabel, names.ChartName)
}

// readObjects reads all tenants and namespaces, and Services of the namespace.
func (c *cluster) readObjects(ctx context.Context, namespace string) (*state.Objects, error) {
	var tenants v1alpha1.EgressTenantList
	var namespaces corev1.NamespaceList
	var services corev1.ServiceList
	if err := c.client.List(ctx, &tenants); err != nil {
		return nil, fmt.Errorf("listing EgressTenants: %w", err)
	}
	if err := c.client.List(ctx, &namespaces); err != nil {
		return nil, fmt.Errorf("listing namespaces: %w", err)
	}
	if err := c.client.List(ctx, &services, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing Services: %w", err)
	}
	objects := &state.Objects{Tenants: tenants.Items, Namespaces: namespaces.Items, Services: services.Items}
	objects.Sort()
	return objects, nil
}

// readPolicies reads the policies of a namespace, or of all of them.
func (c *cluster) readPolicies(ctx context.Context, s *state.State, namespace string) error {
	var policies networkingv1.NetworkPolicyList
	if err := c.client.List(ctx, &policies, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("listing NetworkPolicies: %w", err)
	}
	for i := range policies.Items {
		if policy := &policies.Items[i]; policy.Name == names.PolicyName {
			s.Policies[policy.Namespace] = policy
		}
	}
	kinds, err := controller.PluginPolicies(c.client.RESTMapper())
	if err != nil {
		return err
	}
	foreign, err := controller.ForeignEgress(ctx, c.client, kinds, namespace)
	if err != nil {
		return err
	}
	for _, policy := range foreign {
		namespace, _, _ := strings.Cut(policy, "/")
		s.Foreign[namespace] = append(s.Foreign[namespace], policy)
	}
	return nil
}

// podsAtOnce is the number of pods that are in memory at the same time.
const podsAtOnce = 500

// eachPod calls a function for each pod of the namespace, of all namespaces if it is
// empty.
func (c *cluster) eachPod(ctx context.Context, namespace string, visit func(*corev1.Pod) error) error {
	next := ""
	for {
		var pods corev1.PodList
		if err := c.client.List(ctx, &pods, client.InNamespace(namespace), client.Limit(podsAtOnce), client.Continue(next)); err != nil {
			return fmt.Errorf("listing pods: %w", err)
		}
		for i := range pods.Items {
			if err := visit(&pods.Items[i]); err != nil {
				return err
			}
		}
		if next = pods.Continue; next == "" {
			return nil
		}
	}
}
