package cluster_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"egress.scw/hack/build"
	"egress.scw/hack/cluster"
	"egress.scw/hack/process"
)

// A control plane on loopback, with kwok's nodes and cert-manager: a pod gets
// to run, a certificate gets issued.
func TestControlPlaneOnLoopback(t *testing.T) {
	builder, err := build.New()
	if err != nil {
		t.Fatal(err)
	}
	kubernetes, err := builder.Build(t.Context(), build.Kubernetes())
	if err != nil {
		t.Fatal(err)
	}
	certManager, err := builder.Build(t.Context(), build.CertManager())
	if err != nil {
		t.Fatal(err)
	}
	environment := process.Environment(t.TempDir())
	t.Cleanup(func() {
		if err := environment.Stop(context.Background(), 10*time.Second); err != nil {
			t.Error(err)
		}
	})
	ctx := t.Context()
	c, err := cluster.Start(ctx, cluster.Config{Environment: environment, Binary: kubernetes, Address: netip.MustParseAddr("127.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.StartKwok(ctx, builder.Root(), 1); err != nil {
		t.Fatal(err)
	}
	if err := c.StartCertManager(ctx, builder.Root(), certManager); err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(ctx, manifests); err != nil {
		t.Fatal(err)
	}
	for _, wait := range [][]string{
		{"pod/pause", "--for=condition=Ready"},
		{"certificate/test", "--for=condition=Ready"},
	} {
		if _, err := c.Kubectl(ctx, nil, append([]string{"wait", "--timeout=60s"}, wait...)...); err != nil {
			t.Error(err)
		}
	}
	if out, err := c.Kubectl(ctx, nil, "get", "secret", "test", "-o", "jsonpath={.type}"); err != nil || strings.TrimSpace(out) != "kubernetes.io/tls" {
		t.Errorf("secret of the certificate: %q, %v", out, err)
	}
}

const manifests = `
apiVersion: v1
kind: Pod
metadata: {name: pause}
spec:
  containers: [{name: pause, image: none}]
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {name: test}
spec: {selfSigned: {}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: test}
spec:
  secretName: test
  dnsNames: [test.example]
  issuerRef: {name: test}
`
