package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// attacker is a ServiceAccount that has the built-in ClusterRole admin in one
// namespace of a tenant, and no other right.
type attacker struct {
	namespace, kubeconfig string
	// port of the internet is this attacker's own, so that its packets are not
	// counted as those of another one.
	port uint16
	// audit is the position in the proxy's audit log at which the attacker began.
	audit int64
}

// lastPort is the port of the internet that the last attacker got.
var lastPort atomic.Uint32

// firstAttackerPort and those above it are for attackers. No other test uses them.
const firstAttackerPort = 5000

// attackerName is the name of the attacker's ServiceAccount, and of its bindings.
const attackerName = "attacker"

// newAttacker creates a namespace with the tenant's label, a probe in it, and the
// ServiceAccount.
func newAttacker(t *testing.T, namespace, tenant string) attacker {
	t.Helper()
	newNamespace(t, namespace, tenant)
	if err := shared.Apply(t.Context(), fmt.Sprintf(`
apiVersion: v1
kind: ServiceAccount
metadata: {name: %[1]s, namespace: %[2]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: %[1]s, namespace: %[2]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: ServiceAccount, name: %[1]s, namespace: %[2]s}]
`, attackerName, namespace)); err != nil {
		t.Fatal(err)
	}
	token, err := kubectl(t.Context(), "--namespace="+namespace, "create", "token", attackerName, "--duration=2h")
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(shared.Cluster.PKI("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[attackerName] = &clientcmdapi.Cluster{Server: shared.Cluster.URL(), CertificateAuthorityData: authority}
	config.AuthInfos[attackerName] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[attackerName] = &clientcmdapi.Context{Cluster: attackerName, AuthInfo: attackerName, Namespace: namespace}
	config.CurrentContext = attackerName
	_, position, err := shared.Audit(0)
	if err != nil {
		t.Fatal(err)
	}
	a := attacker{namespace, filepath.Join(t.TempDir(), "kubeconfig"), uint16(firstAttackerPort + lastPort.Add(1)), position}
	if err := clientcmd.WriteToFile(*config, a.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return a
}

// newNamespace creates a namespace for the test, with a probe in it.
func newNamespace(t *testing.T, namespace, tenant string) {
	t.Helper()
	t.Cleanup(func() {
		// Cleanups run after the test's context has ended.
		if _, err := kubectl(context.WithoutCancel(t.Context()), "delete", "namespace", namespace, "--ignore-not-found", "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	err := shared.ApplyNamespace(t.Context(), namespace, tenant)
	if err == nil {
		err = deployProbe(t.Context(), namespace)
	}
	if err == nil {
		_, err = kubectl(t.Context(), "--namespace="+namespace, "rollout", "status", "deployment/probe", "--timeout=600s")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// kubectl runs kubectl as the attacker.
func (a attacker) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	args = append([]string{"--kubeconfig=" + a.kubeconfig, "--namespace=" + a.namespace}, args...)
	return shared.Kubectl(ctx, strings.NewReader(stdin), args...)
}

// apply applies manifests as the attacker.
func (a attacker) apply(ctx context.Context, manifests string) error {
	_, err := a.kubectl(ctx, manifests, "apply", "-f", "-")
	return err
}

// grant gives the attacker a right in the whole cluster until the test ends.
func (a attacker) grant(t *testing.T, name, rule string) {
	t.Helper()
	name = a.namespace + "-" + name
	t.Cleanup(func() {
		for _, kind := range []string{"clusterrolebinding", "clusterrole"} {
			if _, err := kubectl(context.WithoutCancel(t.Context()), "delete", kind, name, "--ignore-not-found"); err != nil {
				t.Error(err)
			}
		}
	})
	if err := shared.Apply(t.Context(), fmt.Sprintf(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: %[1]s}
rules: [%[2]s]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: %[1]s}
subjects: [{kind: ServiceAccount, name: %[3]s, namespace: %[4]s}]
`, name, rule, attackerName, a.namespace)); err != nil {
		t.Fatal(err)
	}
}
