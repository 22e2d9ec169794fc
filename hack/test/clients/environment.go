package clients

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	corev1 "k8s.io/api/core/v1"

	"egress.scw/hack/test/clients/matrix"
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/settings"
)

// The proxy, and the tenant's port on it.
const (
	proxyAddress = "172.16.28.8"
	proxyPort    = 3129
)

// clusterSettings is a settings file as the chart writes it for Kapsule's default
// ranges.
const clusterSettings = `
apiVersion: ` + settings.APIVersion + `
kind: ` + settings.Kind + `
proxy: {addresses: [` + proxyAddress + `]}
cluster:
  domain: ` + matrix.Domain + `
  cidrs: [10.32.0.0/20, 100.64.0.0/15, 172.16.0.0/22]
`

// pod is a pod as most are: its container sets no variables.
const pod = `{"metadata": {"generateName": "web-"}, "spec": {"containers": [{"name": "web", "image": "web"}]}}`

// Environment returns the environment variables of a container in a namespace of a
// tenant, as NAME=VALUE: those of the kubelet, and those that the webhook injects
// for these runtimes.
func Environment(runtimes []string) ([]string, error) {
	injected, err := injectedVariables(runtimes)
	if err != nil {
		return nil, err
	}
	environment := []string{"KUBERNETES_SERVICE_HOST=" + matrix.APIServer, "KUBERNETES_SERVICE_PORT=443"}
	for _, variable := range injected {
		environment = append(environment, variable.Name+"="+variable.Value)
	}
	return environment, nil
}

// injectedVariables returns the variables that the webhook adds to the container, in
// a namespace with one Service.
func injectedVariables(runtimes []string) ([]corev1.EnvVar, error) {
	parsed, err := settings.Parse([]byte(clusterSettings))
	if err != nil {
		return nil, err
	}
	apiServer, err := noproxy.Parse(matrix.APIServer)
	if err != nil {
		return nil, err
	}
	cluster, err := inject.NewCluster(parsed, apiServer, "conformance")
	if err != nil {
		return nil, err
	}
	tenant := &v1alpha1.EgressTenant{}
	tenant.Name = "client-a"
	tenant.Spec.Proxy = &v1alpha1.TenantProxy{Port: proxyPort}
	for _, runtime := range runtimes {
		tenant.Spec.Runtimes = append(tenant.Spec.Runtimes, v1alpha1.Runtime(runtime))
	}
	neighbours := &inject.Neighbours{Services: []inject.Service{{Name: matrix.Service, ClusterIPs: []string{matrix.ServiceIP}}}}
	template, err := inject.NewTemplate(cluster, tenant, matrix.Namespace, neighbours)
	if err != nil {
		return nil, err
	}
	injection, err := template.Compute(nil)
	if err != nil {
		return nil, err
	}
	var decoded inject.Pod
	if err := jsonv2.Unmarshal([]byte(pod), &decoded); err != nil {
		return nil, err
	}
	return variablesOf(inject.NewPatch(&decoded, injection, nil).JSON)
}

// variablesOf returns the environment of the first container in a JSON patch.
func variablesOf(patch []byte) ([]corev1.EnvVar, error) {
	var operations []struct {
		Path  string          `json:"path"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(patch, &operations); err != nil {
		return nil, err
	}
	for _, operation := range operations {
		if operation.Path == "/spec/containers/0/env" {
			var variables []corev1.EnvVar
			return variables, json.Unmarshal(operation.Value, &variables)
		}
	}
	return nil, fmt.Errorf("the webhook's patch sets no environment: %s", patch)
}

// proxyOf returns the address of the proxy in the environment.
func proxyOf(environment []string) (netip.AddrPort, error) {
	for _, variable := range environment {
		if value, found := strings.CutPrefix(variable, "HTTP_PROXY=http://"); found {
			return netip.ParseAddrPort(value)
		}
	}
	return netip.AddrPort{}, fmt.Errorf("no HTTP_PROXY among the variables %q", environment)
}
