package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/kubectl-egress/explain"
	"egress.scw/webhook/kubectl-egress/state"
	"egress.scw/webhook/kubectl-egress/table"
)

// offline are the flags that take the place of a cluster.
type offline struct {
	settings, serviceHost, tenant string
	tenants                       []string
}

func (o *offline) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&o.settings, "settings", "", "settings `file` of the webhook, instead of the cluster's settings; needs --tenants")
	addTenants(command, &o.tenants)
	flags.StringVar(&o.tenant, "tenant", "", "`name` in the tenant label of the namespace, if that is not in the files or is to be tried with another tenant")
	flags.StringVar(&o.serviceHost, "service-host", "10.32.0.1", "with --settings: `address` of the API server for pods (KUBERNETES_SERVICE_HOST in each pod)")
	_ = command.MarkFlagFilename("settings", "yaml", "yml") // fails only for an undefined flag
}

// explainFile explains the pods of a file.
func (a *app) explainFile(ctx context.Context, o *explainOptions, target *explain.Target) error {
	data, err := a.readInput(o.file)
	if err != nil {
		return err
	}
	manifests, err := state.Manifests(data)
	if err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	var explained []*explain.Pod
	negative := false
	for _, manifest := range manifests {
		namespace, err := a.namespaceOf(manifest)
		if err != nil {
			return err
		}
		s, err := a.stateFor(ctx, &o.offline, namespace)
		if err != nil {
			return err
		}
		if o.tenant != "" {
			s.Policies = nil // those of the namespace's own label
		}
		pod, err := explain.OfManifest(s, manifest, o.namespace(s, namespace), target)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", o.file, manifest.Name, err)
		}
		explained, negative = append(explained, pod), negative || pod.Negative()
	}
	text := func(paint table.Paint, wide bool) string {
		var texts []string
		for _, pod := range explained {
			texts = append(texts, pod.Text(paint, wide))
		}
		return strings.Join(texts, "\n")
	}
	if len(explained) == 1 {
		return a.answer(negative, explained[0], text)
	}
	return a.answer(negative, explained, text)
}

// namespaceOf returns the name of the namespace of a manifest.
func (a *app) namespaceOf(manifest state.Manifest) (string, error) {
	namespace, given, err := a.flags.ToRawKubeConfigLoader().Namespace()
	switch {
	case err != nil:
		return "", err
	case given && manifest.Namespace != "" && manifest.Namespace != namespace:
		return "", fmt.Errorf("%s is of namespace %s, and --namespace is %s", manifest.Name, manifest.Namespace, namespace)
	case manifest.Namespace != "":
		return manifest.Namespace, nil
	}
	return namespace, nil
}

// stateFor returns the State that decisions about a namespace depend on.
func (a *app) stateFor(ctx context.Context, o *offline, namespace string) (*state.State, error) {
	switch {
	case o.settings != "" && len(o.tenants) > 0:
		return stateOf(o.settings, o.tenants, o.serviceHost, a.version)
	case o.settings != "" || len(o.tenants) > 0:
		return nil, errors.New("--settings and --tenants need each other")
	}
	cluster, err := a.connect(a.flags)
	if err != nil {
		return nil, err
	}
	return cluster.read(ctx, a.releaseNamespace, namespace)
}

// namespace returns the namespace of the State, with the label of --tenant.
func (o *offline) namespace(s *state.State, name string) inject.Namespace {
	namespace, exists := s.Namespace(name)
	if o.tenant == "" {
		return namespace
	}
	if !exists {
		namespace.Protected = s.Settings.ProtectedNamespaces.Has(name)
	}
	labels := map[string]string{names.LabelTenant: o.tenant, corev1.LabelMetadataName: name}
	for label, value := range namespace.Labels {
		if label != names.LabelTenant {
			labels[label] = value
		}
	}
	namespace.Labels = labels
	return namespace
}
