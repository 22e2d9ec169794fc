package cluster

import (
	"context"
	_ "embed"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"egress.scw/hack/local/process"
)

//go:embed certmanager.yaml
var certManagerManifests string

// certManagerNamespace contains cert-manager's own objects.
const certManagerNamespace = "cert-manager"

// StartCertManager runs cert-manager beside the API server, as processes: the
// controller, the cainjector, and the webhook, whose own certificate the
// cainjector distributes. binary is the path of programs.CertManager.
func (c *Cluster) StartCertManager(ctx context.Context, repository, binary string) error {
	dir, err := moduleDir(ctx, filepath.Join(repository, "hack/tools/certmanager"), "github.com/cert-manager/cert-manager")
	if err != nil {
		return err
	}
	if _, err := c.Kubectl(ctx, nil, "apply", "--server-side", "-f", filepath.Join(dir, "deploy/crds")); err != nil {
		return err
	}
	if err := c.waitEstablished(ctx, "certificates.cert-manager.io", "certificaterequests.cert-manager.io", "issuers.cert-manager.io"); err != nil {
		return err
	}
	port, healthz := 10260, 6080
	if c.Netns == "" {
		if port, err = c.FreePort(ctx); err != nil {
			return err
		}
		if healthz, err = c.FreePort(ctx); err != nil {
			return err
		}
	}
	if err := c.Apply(ctx, fmt.Sprintf(certManagerManifests, port)); err != nil {
		return err
	}
	kubeconfig := "--kubeconfig=" + c.Kubeconfig("admin")
	for component, args := range map[string][]string{
		"webhook":    {kubeconfig, "--port=" + strconv.Itoa(port), "--healthz-port=" + strconv.Itoa(healthz)},
		"cainjector": {kubeconfig},
		"controller": {kubeconfig},
	} {
		if err := c.start(process.Command{
			Name: "cert-manager-" + component, Path: binary, Args: append([]string{component}, args...), Netns: c.Netns,
		}); err != nil {
			return err
		}
	}
	return c.waitCertManager(ctx)
}

// waitEstablished waits until the API server serves the resources of CRDs.
// "kubectl wait" does not serve here: it fails on a CRD so new that its
// conditions are null.
func (c *Cluster) waitEstablished(ctx context.Context, definitions ...string) error {
	args := append([]string{"get", "crd", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="Established")].status}`}, definitions...)
	var last string
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		out, err := c.Kubectl(ctx, nil, args...)
		last = out
		return err == nil && strings.Count(out, "True") == len(definitions), nil
	})
	if err != nil {
		return fmt.Errorf("the API server does not serve %q (established: %q): %w", definitions, last, err)
	}
	return nil
}

// waitCertManager waits until cert-manager's webhook can be called: before
// that, every Certificate is refused.
func (c *Cluster) waitCertManager(ctx context.Context) error {
	client, err := c.Clientset()
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		if err := c.alive("cert-manager-webhook", "cert-manager-cainjector", "cert-manager-controller"); err != nil {
			return false, err
		}
		return c.certManagerAnswers(ctx, client), nil
	})
	if err != nil {
		return fmt.Errorf("cert-manager does not become ready, see %s: %w", c.Environment.LogFile("cert-manager-*"), err)
	}
	return nil
}

func (c *Cluster) certManagerAnswers(ctx context.Context, client kubernetes.Interface) bool {
	admission := client.AdmissionregistrationV1()
	validating, err := admission.ValidatingWebhookConfigurations().Get(ctx, "cert-manager-webhook", metav1.GetOptions{})
	if err != nil || len(validating.Webhooks[0].ClientConfig.CABundle) == 0 {
		return false
	}
	mutating, err := admission.MutatingWebhookConfigurations().Get(ctx, "cert-manager-webhook", metav1.GetOptions{})
	if err != nil || len(mutating.Webhooks[0].ClientConfig.CABundle) == 0 {
		return false
	}
	_, err = client.Discovery().RESTClient().Post().
		AbsPath("/apis/cert-manager.io/v1/namespaces/"+certManagerNamespace+"/issuers").
		Param("dryRun", metav1.DryRunAll).
		Body([]byte(`{"apiVersion":"cert-manager.io/v1","kind":"Issuer","metadata":{"generateName":"probe-"},"spec":{"selfSigned":{}}}`)).
		DoRaw(ctx)
	return err == nil
}
