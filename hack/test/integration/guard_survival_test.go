package integration

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/hack/local/helm"
)

// oldPolicy has egress rules from before the guards, or from an administrator.
const (
	oldPolicy     = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: old}, spec: {podSelector: {}, egress: [{}]}}"
	oldPolicyHead = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: old}}"
)

// The controllers of Kubernetes are not refused: a namespace with guarded
// objects can be deleted.
func TestGuardedNamespaceIsDeleted(t *testing.T) {
	namespace := newNamespace(t, "client-a")
	prepared(create(oldPolicy), create(externalService), create(secondService), create(pod("", "")))(t, namespace)
	if err := shared.client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace to go", func(ctx context.Context) (bool, string) {
		var got corev1.Namespace
		err := shared.client.Get(ctx, client.ObjectKey{Name: namespace}, &got)
		return apierrors.IsNotFound(err), fmt.Sprintf("%+v, error %v", got.Status, err)
	})
}

const secondService = "{apiVersion: v1, kind: Service, metadata: {name: balanced}, spec: {type: LoadBalancer, ports: [{port: 80}]}}"

// The garbage collector changes and deletes policies with egress rules. Its
// requests are made for the tenant's.
func TestGarbageCollectionUnderGuards(t *testing.T) {
	for name, test := range map[string]struct {
		deletion metav1.DeletionPropagation
		policy   bool // whether the policy stays
	}{
		"foreground": {metav1.DeletePropagationForeground, false},
		"background": {metav1.DeletePropagationBackground, false},
		"orphan":     {metav1.DeletePropagationOrphan, true},
	} {
		t.Run(name+" deletion of the policy", func(t *testing.T) {
			attacker := newAttacker(t, prepared(create(oldPolicy)))
			attacker.requireSuccess(t, remove(oldPolicyHead, client.PropagationPolicy(test.deletion)))
			requirePolicyGone(t, attacker.namespace)
		})
		t.Run(name+" deletion of the owner", func(t *testing.T) {
			attacker := newAttacker(t, ownedPolicy)
			attacker.requireSuccess(t, remove("{apiVersion: v1, kind: ConfigMap, metadata: {name: owner}}", client.PropagationPolicy(test.deletion)))
			if !test.policy {
				requirePolicyGone(t, attacker.namespace)
				return
			}
			eventually(t, "the policy to be without an owner", func(ctx context.Context) (bool, string) {
				var policy networkingv1.NetworkPolicy
				err := shared.client.Get(ctx, client.ObjectKey{Namespace: attacker.namespace, Name: "old"}, &policy)
				return err == nil && len(policy.OwnerReferences) == 0, fmt.Sprintf("%v, error %v", policy.OwnerReferences, err)
			})
		})
	}
}

func requirePolicyGone(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, "the policy to go", func(ctx context.Context) (bool, string) {
		var policy networkingv1.NetworkPolicy
		err := shared.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "old"}, &policy)
		return apierrors.IsNotFound(err), fmt.Sprintf("finalizers %v, error %v", policy.Finalizers, err)
	})
}

// ownedPolicy creates a policy that belongs to a ConfigMap.
func ownedPolicy(t *testing.T, namespace string) {
	t.Helper()
	owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "owner"}}
	if err := shared.client.Create(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	blocks := true
	policy := &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "old", OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID, BlockOwnerDeletion: &blocks,
		}}},
		Spec: networkingv1.NetworkPolicySpec{Egress: []networkingv1.NetworkPolicyEgressRule{{}}},
	}
	if err := shared.client.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	waitCollector(t, namespace)
}

// waitCollector waits until the garbage collector knows the policies of the namespace. An
// owner that is orphaned before that leaves it a policy without an owner, which it deletes.
// It learns of policies in their order, so that it knows the earlier ones when it deletes a
// later one, whose owner does not exist.
func waitCollector(t *testing.T, namespace string) {
	t.Helper()
	later := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "later", OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "v1", Kind: "ConfigMap", Name: "none", UID: "00000000-0000-0000-0000-000000000000",
	}}}}
	if err := shared.client.Create(t.Context(), later); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the garbage collector", func(ctx context.Context) (bool, string) {
		err := shared.client.Get(ctx, client.ObjectKeyFromObject(later), &networkingv1.NetworkPolicy{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
}

// A tenant's administrator works as before.
func TestTenantsWorkUnderGuards(t *testing.T) {
	attacker := newAttacker(t, nil)
	kubectl := func(args ...string) {
		t.Helper()
		user := "--as=system:serviceaccount:" + attacker.namespace + ":" + accountName
		if _, err := shared.cluster.Kubectl(t.Context(), nil, append([]string{user, "--namespace", attacker.namespace}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	kubectl("create", "deployment", "app", "--image=none:1", "--port=80", "--replicas=2")
	kubectl("rollout", "status", "deployment/app", "--timeout=5m")
	kubectl("set", "image", "deployment/app", "none=none:2")
	kubectl("rollout", "status", "deployment/app", "--timeout=5m")
	kubectl("rollout", "restart", "deployment/app")
	kubectl("rollout", "undo", "deployment/app")
	kubectl("rollout", "status", "deployment/app", "--timeout=5m")
	kubectl("expose", "deployment", "app")
	kubectl("create", "job", "once", "--image=none:1")
	kubectl("delete", "deployment,service,job", "--all", "--cascade=foreground")

	release := helm.Release{
		Kubeconfig: attacker.kubeconfig(t), Name: "app", Namespace: attacker.namespace, NamespaceExists: true, Chart: "testdata/chart",
		Values: map[string]any{"image": "none:1"},
	}
	if err := release.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	release.Values = map[string]any{"image": "none:2"}
	if err := release.Upgrade(t.Context()); err != nil {
		t.Error(err)
	}
	if err := release.Uninstall(); err != nil {
		t.Error(err)
	}
}

// kubeconfig returns the path of a kubeconfig of the attacker.
func (s *attacker) kubeconfig(t *testing.T) string {
	t.Helper()
	config, err := clientcmd.LoadFromFile(shared.cluster.Kubeconfig("admin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range config.AuthInfos {
		user.ClientCertificateData, user.ClientKeyData, user.Token = nil, nil, s.config.BearerToken
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}
