package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/kubectl-egress/coverage"
	"egress.scw/webhook/kubectl-egress/explain"
)

// explainOptions are the flags of the command explain.
type explainOptions struct {
	file, url string
	offline
}

// target returns the destination of --url, nil without it.
func (o *explainOptions) target() (*explain.Target, error) {
	if o.url == "" {
		return nil, nil
	}
	target, err := explain.ParseTarget(o.url)
	return &target, err
}

func newExplainCommand(a *app) *cobra.Command {
	var o explainOptions
	command := &cobra.Command{
		Use:   "explain (pod|namespace|tenant) NAME | --file FILE",
		Short: "Explain what the webhook does with a pod, a namespace or a tenant, and why",
		Long: `Print the webhook's decision with its reason and the remedy, the variables, and the
NetworkPolicy that holds. With --url, state whether a request goes through the proxy or
directly, by the variables of each container as Go's clients read them, and what the
proxy decides. Clients differ in NO_PROXY: see docs/reference/clients.md.

With --file, the pod need not exist: the answer is that of the webhook to its creation,
with the same patch (-o json). A file may contain Pods and workloads. With --settings
and --tenants, no cluster is needed.

Exit codes: 0 the answer is positive, 1 the webhook refuses the pod or the URL is closed,
2 an error.`,
		Example: `  # a pod that exists: its coverage, and the way of a URL
  kubectl egress explain pod web-7d4b9 --namespace orders --url https://api.github.com

  # all of a namespace or a tenant
  kubectl egress explain namespace orders
  kubectl egress explain tenant client-a --url https://api.github.com

  # a manifest, before it is applied
  kubectl egress explain --file deployment.yaml --namespace orders

  # without a cluster, as in a pipeline
  kubectl get configmap egress-webhook-settings --namespace egress-system -o jsonpath='{.data.settings\.yaml}' > settings.yaml
  kubectl egress explain --file pod.yaml --settings settings.yaml --tenants egress.yaml --tenant client-a`,
		Args:              cobra.MaximumNArgs(2),
		ValidArgsFunction: a.completeExplain,
		RunE: func(command *cobra.Command, args []string) error {
			target, err := o.target()
			switch {
			case err != nil:
				return err
			case o.file != "" && len(args) > 0:
				return errors.New("an object and --file exclude each other")
			case o.file != "":
				return a.explainFile(command.Context(), &o, target)
			case o.settings != "" || o.tenant != "" || len(o.tenants) > 0:
				return errors.New("--settings, --tenants and --tenant need --file")
			}
			kind, name, err := parseObject(args)
			if err != nil {
				return err
			}
			return a.explainObject(command.Context(), kind, name, target)
		},
	}
	command.Flags().StringVarP(&o.file, "file", "f", "", "`file` with pods or workloads to explain, - for the standard input")
	command.Flags().StringVar(&o.url, "url", "", "`URL` whose way to explain")
	o.add(command)
	_ = command.MarkFlagFilename("file", "yaml", "yml", "json") // fails only for an undefined flag
	a.addOutput(command, outputWide, outputJSON, outputYAML)
	return command
}

// Kinds of objects that can be explained.
const (
	kindPod       = "pod"
	kindNamespace = "namespace"
	kindTenant    = "tenant"
)

func kinds() []string { return []string{kindPod, kindNamespace, kindTenant} }

// parseObject reads KIND NAME or KIND/NAME, with the short names of kubectl.
func parseObject(args []string) (kind, name string, err error) {
	if len(args) == 1 {
		args = strings.SplitN(args[0], "/", 2)
	}
	if len(args) != 2 || args[1] == "" {
		return "", "", errors.New("name an object, as in: pod web, namespace orders, tenant client-a; or a file with --file")
	}
	switch strings.ToLower(args[0]) {
	case "pod", "pods", "po":
		kind = kindPod
	case "namespace", "namespaces", "ns":
		kind = kindNamespace
	case "tenant", "tenants", "egresstenant", "egresstenants", "et":
		kind = kindTenant
	default:
		return "", "", fmt.Errorf("%q cannot be explained: only %s can", args[0], strings.Join(kinds(), ", "))
	}
	return kind, args[1], nil
}

func (a *app) explainObject(ctx context.Context, kind, name string, target *explain.Target) error {
	cluster, err := a.connect(a.flags)
	if err != nil {
		return err
	}
	switch kind {
	case kindPod:
		return a.explainPod(ctx, cluster, name, target)
	case kindNamespace:
		if target != nil {
			return errors.New("--url needs a pod, a tenant or --file")
		}
		return a.explainNamespace(ctx, cluster, name)
	}
	s, err := cluster.read(ctx, a.releaseNamespace, "")
	if err != nil {
		return err
	}
	explained, err := explain.OfTenant(s, name, target)
	if err != nil {
		return err
	}
	return a.answer(explained.Verdict != nil && !explained.Verdict.Passes(), explained, explained.Text)
}

func (a *app) explainPod(ctx context.Context, cluster *cluster, name string, target *explain.Target) error {
	namespace, _, err := a.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return err
	}
	var pod corev1.Pod
	if err := cluster.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &pod); err != nil {
		return fmt.Errorf("reading pod %s of namespace %s: %w", name, namespace, err)
	}
	s, err := cluster.read(ctx, a.releaseNamespace, namespace)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(&pod)
	if err != nil {
		return err
	}
	explained, err := explain.OfPod(s, raw, target)
	if err != nil {
		return err
	}
	return a.answer(explained.Negative(), explained, explained.Text)
}

func (a *app) explainNamespace(ctx context.Context, cluster *cluster, name string) error {
	s, err := cluster.read(ctx, a.releaseNamespace, name)
	if err != nil {
		return err
	}
	namespace, exists := s.Namespace(name)
	if !exists {
		return fmt.Errorf("there is no namespace %s", name)
	}
	var pods []coverage.Pod
	if _, labelled := namespace.Tenant(); labelled {
		err = cluster.eachPod(ctx, name, func(pod *corev1.Pod) error {
			covered, err := coverage.OfPod(s, pod)
			pods = append(pods, covered)
			return err
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(pods, func(x, y coverage.Pod) int { return strings.Compare(x.Name, y.Name) })
	explained, err := explain.OfNamespace(s, namespace, pods)
	if err != nil {
		return err
	}
	return a.print(explained, explained.Text)
}

// completeExplain completes kinds, and the names of tenants.
func (a *app) completeExplain(command *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch {
	case len(args) == 0:
		return kinds(), cobra.ShellCompDirectiveNoFileComp
	case len(args) == 1 && args[0] == kindTenant:
		return a.tenantNames(command.Context()), cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}
