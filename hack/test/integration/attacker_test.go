package integration

import (
	"context"
	"fmt"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// attacker is a ServiceAccount in a namespace of client-a, with the built-in role
// admin there.
type attacker struct {
	namespace string
	config    *rest.Config
	client    client.Client
	// dryRun sends the same requests, which the API server admits or
	// refuses in the same way, but which change nothing.
	dryRun client.Client
}

// request is one request to the API, about the namespace.
type request func(ctx context.Context, c client.Client, namespace string) error

// attempt is a request that a guard must refuse.
type attempt struct {
	name string
	// validation is the index of the validation in the guard's policy.
	validation int
	// rights are those that the request needs in the namespace beside the role
	// admin. If there are any, RBAC alone refuses the request without them.
	rights []rbacv1.PolicyRule
	// prepare makes the objects that the request needs, as the administrator.
	prepare func(t *testing.T, namespace string)
	request request
}

// accountName is the name of each attacker's ServiceAccount.
const accountName = "attacker"

// newAttacker makes a namespace with what the attempts in it need.
func newAttacker(t *testing.T, prepare func(t *testing.T, namespace string)) *attacker {
	t.Helper()
	s := &attacker{namespace: newNamespace(t, "client-a")}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: accountName}}
	if err := shared.client.Create(t.Context(), account); err != nil {
		t.Fatal(err)
	}
	token, err := shared.clientset.CoreV1().ServiceAccounts(s.namespace).
		CreateToken(t.Context(), accountName, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := shared.cluster.RESTConfig()
	if err != nil {
		t.Fatal(err)
	}
	s.config = rest.AnonymousClientConfig(admin)
	s.config.BearerToken = token.Status.Token
	s.config.Proxy, s.config.QPS, s.config.Burst = admin.Proxy, admin.QPS, admin.Burst
	if s.client, err = client.New(s.config, client.Options{Scheme: shared.client.Scheme()}); err != nil {
		t.Fatal(err)
	}
	s.dryRun = client.NewDryRunClient(s.client)
	s.bind(t, s.namespace, "admin")
	eventually(t, "the role admin", func(ctx context.Context) (bool, string) {
		err := create("{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}")(ctx, s.dryRun, s.namespace)
		return err == nil, fmt.Sprint(err)
	})
	if prepare != nil {
		prepare(t, s.namespace)
	}
	return s
}

// grant gives further rights: in the namespace, which includes those on the
// namespace itself, or in the whole cluster where they have an effect only there.
func (s *attacker) grant(t *testing.T, rights []rbacv1.PolicyRule) {
	t.Helper()
	for _, rule := range rights {
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{GenerateName: "attacker-"}, Rules: []rbacv1.PolicyRule{rule}}
		if err := shared.client.Create(t.Context(), role); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = shared.client.Delete(context.Background(), role) })
		namespace := s.namespace
		if clusterWide(rule) {
			namespace = ""
		}
		s.bind(t, namespace, role.Name)
	}
}

// clusterWide reports whether a rule has an effect only in a
// ClusterRoleBinding.
func clusterWide(rule rbacv1.PolicyRule) bool {
	for _, resource := range rule.Resources {
		for _, verb := range rule.Verbs {
			if resource == "namespaces" && verb == "create" || resource == "egresstenants" {
				return true
			}
		}
	}
	return false
}

// bind gives a ClusterRole to the attacker, in one namespace, or in all if it
// is empty.
func (s *attacker) bind(t *testing.T, namespace, role string) {
	t.Helper()
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.namespace, Name: accountName}}
	reference := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	var binding client.Object = &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "attacker-"}, RoleRef: reference, Subjects: subjects,
	}
	if namespace == "" {
		binding = &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{GenerateName: "attacker-"}, RoleRef: reference, Subjects: subjects}
		t.Cleanup(func() { _ = shared.client.Delete(context.Background(), binding) })
	}
	if err := shared.client.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
}
