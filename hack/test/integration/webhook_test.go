package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/helm"
	"egress.scw/hack/local/pki"
	"egress.scw/hack/local/process"
	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/settings"
)

const (
	releaseName      = "egress-webhook"
	releaseNamespace = "egress-system"
	proxyAddress     = "172.16.28.8"
	egressAddress    = "203.0.113.50"
	// closedDNSAddress is in the range of Services.
	closedDNSAddress = "10.96.0.11"
	// nodeCIDR is the Private Network, with nodes and proxy.
	nodeCIDR = "172.16.28.0/22"
)

// webhookProcess is the webhook as the chart's Deployment runs it, but as a
// process on loopback: with the settings of the chart's ConfigMap, the rights of
// the Deployment's ServiceAccount, and the certificate that cert-manager issued.
type webhookProcess struct {
	command process.Command
	cluster *cluster.Cluster
	release helm.Release
	port    int
	probe   string
	// metrics is the URL of its metrics.
	metrics string
}

func newClient(c *cluster.Cluster) (client.Client, error) {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiextensionsv1.AddToScheme, certmanagerv1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			return nil, err
		}
	}
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: s})
}

// installWebhook installs the chart and starts the webhook that its Deployment
// describes.
func installWebhook(ctx context.Context, c *cluster.Cluster, api client.Client, repository, binary string) (*webhookProcess, error) {
	port, err := c.FreePort(ctx)
	if err != nil {
		return nil, err
	}
	// Proxy machines sign their certificates themselves.
	machine, err := pki.NewAuthority("proxy")
	if err != nil {
		return nil, err
	}
	installation := helm.Release{
		Kubeconfig: c.Kubeconfig("admin"), Name: releaseName, Namespace: releaseNamespace,
		Chart: filepath.Join(repository, "charts/egress-webhook"),
		Values: map[string]any{
			"proxy": map[string]any{
				"addresses":       []any{proxyAddress},
				"verifyPorts":     false, // there is no proxy
				"egressAddresses": map[string]any{"shared": []any{egressAddress}},
				"identity":        "Offered",
				"machines":        []any{map[string]any{"address": proxyAddress, "certificate": string(machine.Public)}},
			},
			"dns":     map[string]any{"closed": map[string]any{"address": closedDNSAddress}},
			"cluster": map[string]any{"cidrs": []any{cluster.ServiceCIDR, cluster.PodCIDR, nodeCIDR}},
			"tenants": []any{tenantValue("client-a", 3129), tenantValue("client-b", 3130)},
		},
		PostRenderer: loopback{port: port},
	}
	if err := installation.Install(ctx); err != nil {
		return nil, err
	}
	w := &webhookProcess{cluster: c, release: installation, port: port}
	if err := w.prepare(ctx, api, binary); err != nil {
		return nil, err
	}
	if err := w.start(ctx); err != nil {
		return nil, err
	}
	if err := waitCABundle(ctx, api); err != nil {
		return nil, err
	}
	return w, waitCalled(ctx, api)
}

func tenantValue(name string, port int) map[string]any {
	return map[string]any{"name": name, "path": "Proxy", "proxy": map[string]any{"port": port}}
}

// prepare collects the arguments and files that a kubelet would give to the
// pod.
func (w *webhookProcess) prepare(ctx context.Context, api client.Client, binary string) error {
	dir := filepath.Join(string(w.cluster.Environment), "webhook")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := writeCertificate(ctx, api, dir); err != nil {
		return err
	}
	var deployment appsv1.Deployment
	if err := api.Get(ctx, client.ObjectKey{Namespace: releaseNamespace, Name: releaseName}, &deployment); err != nil {
		return err
	}
	pod := deployment.Spec.Template.Spec
	if err := writeServiceAccountKubeconfig(ctx, w.cluster, pod.ServiceAccountName, filepath.Join(dir, "kubeconfig")); err != nil {
		return err
	}
	probePort, err := w.cluster.FreePort(ctx)
	if err != nil {
		return err
	}
	w.probe = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(probePort))
	metricsPort, err := w.cluster.FreePort(ctx)
	if err != nil {
		return err
	}
	w.metrics = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(metricsPort)) + "/metrics"
	settingsFile := filepath.Join(dir, "settings.yaml")
	if err := w.writeSettings(ctx, api, settingsFile, probePort, metricsPort); err != nil {
		return err
	}
	w.command = process.Command{
		Name: "webhook", Path: binary, Args: []string{"--settings=" + settingsFile},
		Env: []string{"KUBECONFIG=" + filepath.Join(dir, "kubeconfig"), "KUBERNETES_SERVICE_HOST=" + cluster.ServiceIP},
	}
	return nil
}

// writeSettings writes the settings of the chart's ConfigMap, but with addresses
// and folders of this machine.
func (w *webhookProcess) writeSettings(ctx context.Context, api client.Client, file string, probePort, metricsPort int) error {
	var configMap corev1.ConfigMap
	if err := api.Get(ctx, client.ObjectKey{Namespace: releaseNamespace, Name: names.SettingsConfigMap}, &configMap); err != nil {
		return err
	}
	var contents settings.File
	if err := yaml.UnmarshalStrict([]byte(configMap.Data[names.SettingsKey]), &contents); err != nil {
		return fmt.Errorf("ConfigMap %s: %w", names.SettingsConfigMap, err)
	}
	contents.Admission = settings.FileAdmission{BindAddress: "127.0.0.1:" + strconv.Itoa(w.port), CertDir: filepath.Dir(file)}
	contents.Probes.BindAddress = "127.0.0.1:" + strconv.Itoa(probePort)
	contents.Metrics.BindAddress = "127.0.0.1:" + strconv.Itoa(metricsPort)
	if err := addSidecar(&contents, filepath.Dir(file)); err != nil {
		return err
	}
	data, err := yaml.Marshal(contents)
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// addSidecar adds settings for tenants with the sidecar and closed DNS. There is
// neither a proxy nor a DNS server, and every certificate will do.
func addSidecar(contents *settings.File, certificates string) error {
	chain, err := os.ReadFile(filepath.Join(certificates, corev1.TLSCertKey))
	if err != nil {
		return err
	}
	block, _ := pem.Decode(chain)
	contents.Proxy.Identity = string(v1alpha1.IdentityOffered)
	contents.Proxy.Machines = []settings.FileMachine{{Address: proxyAddress, Certificate: string(pem.EncodeToMemory(block))}}
	contents.Sidecar.Image = "registry.example/egress-sidecar:v1.2.3"
	contents.DNS.Closed = &settings.FileClosedDNS{
		Address: closedDNSAddress, Pods: settings.FileDNSPods{Namespace: releaseNamespace, PodLabels: map[string]string{"app": "closed-dns"}},
	}
	return nil
}

// start starts the process, and waits until its readiness probe succeeds and it leads. The
// last work of a new leader that a test could take for its own cause is that on the
// definition of EgressTenant.
func (w *webhookProcess) start(ctx context.Context) error {
	before := w.log()
	p, err := w.cluster.Environment.Start(w.command)
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		if !p.Alive() {
			return false, errors.New("it has ended")
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.probe+"/readyz", nil)
		if err != nil {
			return false, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, nil // not listening yet
		}
		defer response.Body.Close()
		log, _ := strings.CutPrefix(w.log(), before)
		leads := strings.Contains(log, "the definition of EgressTenant is up to date") || strings.Contains(log, "the definition of EgressTenant is newer")
		return response.StatusCode == http.StatusOK && leads, nil
	})
	if err != nil {
		return fmt.Errorf("the webhook does not become ready, or does not lead: %w; the end of its log:\n%s", err, w.cluster.Environment.Tail("webhook"))
	}
	return nil
}

// log returns the log of the process, and of those before it; empty if there was none.
func (w *webhookProcess) log() string {
	text, err := os.ReadFile(w.cluster.Environment.LogFile(w.command.Name))
	if err != nil {
		return ""
	}
	return string(text)
}

// review posts a body to the webhook as the API server does, and returns the
// status and the body of the answer.
func (w *webhookProcess) review(ctx context.Context, body []byte) (int, []byte, error) {
	ca, err := os.ReadFile(filepath.Join(string(w.cluster.Environment), "webhook", "ca.crt"))
	if err != nil {
		return 0, nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	address := "https://127.0.0.1:" + strconv.Itoa(w.port) + "/mutate-pods"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// writeCertificate waits for cert-manager to issue the certificate.
func writeCertificate(ctx context.Context, api client.Client, dir string) error {
	var secret corev1.Secret
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		err := api.Get(ctx, client.ObjectKey{Namespace: releaseNamespace, Name: "egress-webhook-tls"}, &secret)
		return len(secret.Data[corev1.TLSCertKey]) > 0, client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("cert-manager issues no certificate: %w", err)
	}
	for _, key := range []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey, "ca.crt"} {
		if err := os.WriteFile(filepath.Join(dir, key), secret.Data[key], 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writeServiceAccountKubeconfig gives the process exactly the rights that the
// chart grants.
func writeServiceAccountKubeconfig(ctx context.Context, c *cluster.Cluster, account, file string) error {
	clientset, err := c.Clientset()
	if err != nil {
		return err
	}
	token, err := clientset.CoreV1().ServiceAccounts(releaseNamespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	config, err := clientcmd.LoadFromFile(c.Kubeconfig("admin"))
	if err != nil {
		return err
	}
	for _, user := range config.AuthInfos {
		user.ClientCertificateData, user.ClientKeyData, user.Token = nil, nil, token.Status.Token
	}
	return clientcmd.WriteToFile(*config, file)
}

func waitCABundle(ctx context.Context, api client.Client) error {
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		var mutating admissionregistrationv1.MutatingWebhookConfiguration
		var validating admissionregistrationv1.ValidatingWebhookConfiguration
		for _, configuration := range []client.Object{&mutating, &validating} {
			if err := api.Get(ctx, client.ObjectKey{Name: releaseName}, configuration); err != nil {
				return false, err
			}
		}
		var bundles [][]byte
		for _, webhook := range validating.Webhooks {
			bundles = append(bundles, webhook.ClientConfig.CABundle)
		}
		for _, webhook := range mutating.Webhooks {
			bundles = append(bundles, webhook.ClientConfig.CABundle)
		}
		return !slices.ContainsFunc(bundles, func(bundle []byte) bool { return len(bundle) == 0 }), nil
	})
	if err != nil {
		return fmt.Errorf("no CA in a webhook configuration: %w", err)
	}
	return nil
}

// waitCalled waits until the API server calls the webhook: it learns of the configurations,
// and of their CA, some time after their clients.
func waitCalled(ctx context.Context, api client.Client) error {
	var last string
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		known, unknown := namespaceNamed("probe"), namespaceNamed("probe")
		known.Labels = map[string]string{names.LabelTenant: "client-a"}
		unknown.Labels = map[string]string{names.LabelTenant: "no-such-tenant"}
		mutated, refused := api.Create(ctx, known, client.DryRunAll), api.Create(ctx, unknown, client.DryRunAll)
		last = fmt.Sprintf("labels %v, %v; %v", known.Labels, mutated, refused)
		return mutated == nil && known.Labels["pod-security.kubernetes.io/enforce"] != "" &&
			refused != nil && strings.Contains(refused.Error(), "names no EgressTenant"), nil
	})
	if err != nil {
		return fmt.Errorf("the API server does not call the webhook: %w; last seen: %s", err, last)
	}
	return nil
}

// webhookTimeout is the largest that the API server accepts, in seconds. The chart's 5 are
// too few on a machine that is busy with other work.
const webhookTimeout = int64(30)

// loopback is a Helm post-renderer: it makes the API server call the webhook by
// a URL, and wait longer for the answer, and adds the URL's address to the
// certificate.
type loopback struct {
	port int
	// keep, when set, changes an object further, and returns whether the
	// manifests contain it at all.
	keep func(*unstructured.Unstructured) bool
}

func (l loopback) Run(manifests *bytes.Buffer) (*bytes.Buffer, error) {
	var out bytes.Buffer
	decoder := utilyaml.NewYAMLOrJSONDecoder(manifests, 4096)
	for {
		var object unstructured.Unstructured
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return &out, nil
		}
		if err != nil {
			return nil, err
		}
		if len(object.Object) == 0 || l.keep != nil && !l.keep(&object) {
			continue
		}
		if err := l.change(&object); err != nil {
			return nil, err
		}
		document, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, err
		}
		out.WriteString("---\n")
		out.Write(document)
	}
}

func (l loopback) change(object *unstructured.Unstructured) error {
	switch object.GetKind() {
	case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
		webhooks, _, err := unstructured.NestedSlice(object.Object, "webhooks")
		if err != nil {
			return err
		}
		for _, webhook := range webhooks {
			path, _, err := unstructured.NestedString(webhook.(map[string]any), "clientConfig", "service", "path")
			if err != nil {
				return err
			}
			url := fmt.Sprintf("https://127.0.0.1:%d%s", l.port, path)
			webhook.(map[string]any)["clientConfig"] = map[string]any{"url": url}
			webhook.(map[string]any)["timeoutSeconds"] = webhookTimeout
		}
		return unstructured.SetNestedSlice(object.Object, webhooks, "webhooks")
	case "Certificate":
		if object.GetName() == "egress-webhook" {
			return unstructured.SetNestedStringSlice(object.Object, []string{"127.0.0.1"}, "spec", "ipAddresses")
		}
	}
	return nil
}
