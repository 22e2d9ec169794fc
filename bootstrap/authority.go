package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"egress.scw/cloudinit"
	"egress.scw/webhook/api/names"
)

const (
	authorityPatience = 10 * time.Second
	maxConfigMap      = 1 << 20 // the limit of Kubernetes
)

// readAuthority reads the authority of the sidecars from the cluster, unless egress.yaml
// contains it. Before the cluster or the chart exists there is none. A cluster that does
// not answer is an error: without the authority, the proxy would close its port for
// sidecars.
func (t *target) readAuthority(ctx context.Context) error {
	proxy := &t.spec.Proxy
	if !proxy.Identity.Sidecars() || proxy.Authority != "" {
		return nil
	}
	file := t.kubeconfigFile()
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	authority, err := authorityOf(ctx, file)
	if err != nil {
		return fmt.Errorf("the authority of the sidecars cannot be read from the cluster of %s: %w; if the cluster cannot be reached from here, set spec.proxy.authority", file, err)
	}
	proxy.Authority = authority
	return nil
}

// authorityOf returns the authority in the chart's ConfigMap; empty if there is no
// ConfigMap.
func authorityOf(ctx context.Context, kubeconfig string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, authorityPatience)
	defer cancel()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return "", errNoKubeconfig // the parser's error may quote a secret
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
