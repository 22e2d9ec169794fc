package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"egress.scw/bootstrap/stack"
	"egress.scw/cloudinit"
	"egress.scw/webhook/api/names"
)

const (
	// statusReady is the status of a cluster whose API server answers.
	statusReady       = "ready"
	authorityPatience = 10 * time.Second
	maxConfigMap      = 1 << 20 // the limit of Kubernetes
)

// observeAndPlan observes the stack and plans the changes that it needs, with the
// authority of the sidecars that the cluster has published, unless egress.yaml contains
// it.
func (t *target) observeAndPlan(ctx context.Context) (*stack.Observed, *stack.Plan, error) {
	observed, plan, err := stack.ObserveAndPlan(ctx, t.cloud, t.spec)
	if err != nil || !t.spec.Proxy.Identity.Sidecars() || t.spec.Proxy.Authority != "" {
		return observed, plan, err
	}
	if err := t.readAuthority(ctx, clusterIn(observed)); err != nil {
		return observed, nil, err
	}
	if t.spec.Proxy.Authority != "" {
		plan, err = stack.Diff(t.spec, observed)
	}
	return observed, plan, err
}

// clusterIn returns the existing cluster of the stack, or nil.
func clusterIn(observed *stack.Observed) *stack.Cluster {
	for _, resource := range observed.Resources {
		if cluster, ok := resource.(*stack.Cluster); ok {
			return cluster
		}
	}
	return nil
}

// readAuthority reads the authority of the sidecars from the cluster. There is none
// before the cluster is ready and the chart installed. A cluster that does not answer is
// an error: without the authority, the proxy would close its port for sidecars.
func (t *target) readAuthority(ctx context.Context, cluster *stack.Cluster) error {
	if cluster == nil || cluster.Status != statusReady {
		return nil
	}
	kubeconfig, err := t.cloud.Kubeconfig(ctx, cluster)
	if err != nil {
		return err
	}
	authority, err := authorityOf(ctx, kubeconfig)
	if err != nil {
		return fmt.Errorf("the authority of the sidecars cannot be read from the cluster %s: %w; if the cluster cannot be reached from here, set spec.proxy.authority", cluster.Name, err)
	}
	t.spec.Proxy.Authority = authority
	return nil
}

// authorityOf returns the authority in the chart's ConfigMap; empty if there is no
// ConfigMap.
func authorityOf(ctx context.Context, kubeconfig []byte) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, authorityPatience)
	defer cancel()
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return "", errors.New("its kubeconfig from Scaleway is invalid") // the parser's error may quote a secret
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return "", err
	}
	url := strings.TrimSuffix(config.Host, "/") + "/api/v1/namespaces/" + chartNamespace + "/configmaps/" + names.AuthorityConfigMap
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return "", nil
	default:
		return "", fmt.Errorf("the API server answers %s", response.Status)
	}
	var object corev1.ConfigMap
	if err := json.NewDecoder(io.LimitReader(response.Body, maxConfigMap)).Decode(&object); err != nil {
		return "", err
	}
	authority := object.Data[names.AuthorityKey]
	if errs := cloudinit.ValidateAuthority(authority, nil); len(errs) > 0 {
		return "", fmt.Errorf("%s of the ConfigMap %s: %s", names.AuthorityKey, names.AuthorityConfigMap, errs[0].Detail)
	}
	return authority, nil
}
