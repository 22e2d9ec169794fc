package integration

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
)

const namespaceHead = "{apiVersion: v1, kind: Namespace}"

func labels(change string) string { return "{metadata: {labels: {" + change + "}}}" }

func tenantLabelAttempts() []attempt {
	patching := right("", "namespaces", "patch")
	return []attempt{
		{name: "another tenant", rights: patching, request: merge(namespaceHead, labels("egress.scw/tenant: client-b"))},
		{name: "no label", rights: patching, request: merge(namespaceHead, labels("egress.scw/tenant: null"))},
		{name: "empty label", rights: patching, request: merge(namespaceHead, labels("egress.scw/tenant: ''"))},
		{
			name: "another tenant through status", rights: right("", "namespaces/status", "patch"),
			request: mergeStatus(namespaceHead, labels("egress.scw/tenant: client-b")),
		},
		{
			name: "no label through status", rights: right("", "namespaces/status", "patch"),
			request: mergeStatus(namespaceHead, labels("egress.scw/tenant: null")),
		},
		{name: "another tenant through finalize", rights: right("", "namespaces/finalize", "update"), request: finalize("client-b")},
		{name: "no label through finalize", rights: right("", "namespaces/finalize", "update"), request: finalize("")},
		{
			name: "the label of a namespace without a tenant", rights: patching, prepare: unlabel,
			request: merge(namespaceHead, labels("egress.scw/tenant: client-a")),
		},
		{
			name: "a tenant that one may not use", prepare: unlabel,
			rights:  append(use("client-a"), patching...),
			request: merge(namespaceHead, labels("egress.scw/tenant: client-b")),
		},
		{
			name:    "away from a tenant that one may not use",
			rights:  append(use("client-b"), patching...),
			request: merge(namespaceHead, labels("egress.scw/tenant: client-b")),
		},
		{
			name:    "no label, with the tenant that one may use",
			rights:  append(use("client-a"), patching...),
			request: merge(namespaceHead, labels("egress.scw/tenant: null")),
		},
		{
			name: "empty label, with every tenant that one may use", prepare: unlabel,
			rights:  append(right(names.Group, "egresstenants", names.VerbUse), patching...),
			request: merge(namespaceHead, labels("egress.scw/tenant: ''")),
		},
		{name: "a new namespace", rights: right("", "namespaces", "create"), request: secondNamespace("client-a")},
		{name: "a new namespace with an empty label", rights: right("", "namespaces", "create"), request: secondNamespace("")},
	}
}

func podSecurityAttempts() []attempt {
	patching := right("", "namespaces", "patch")
	baseline := prepared(merge(namespaceHead, labels("pod-security.kubernetes.io/enforce: baseline")))
	restricted := prepared(merge(namespaceHead, labels("pod-security.kubernetes.io/enforce: restricted")))
	return []attempt{
		{
			name: "level privileged", validation: 1, rights: patching, prepare: baseline,
			request: merge(namespaceHead, labels("pod-security.kubernetes.io/enforce: privileged")),
		},
		{
			name: "no level", validation: 1, rights: patching, prepare: baseline,
			request: merge(namespaceHead, labels("pod-security.kubernetes.io/enforce: null")),
		},
		{
			name: "from restricted to baseline", validation: 1, rights: patching, prepare: restricted,
			request: merge(namespaceHead, labels("pod-security.kubernetes.io/enforce: baseline")),
		},
		{
			name: "an old version of the level", validation: 1, rights: patching, prepare: baseline,
			request: merge(namespaceHead, labels("pod-security.kubernetes.io/enforce-version: v1.24")),
		},
		{
			name: "no level through status", validation: 1, rights: right("", "namespaces/status", "patch"), prepare: baseline,
			request: mergeStatus(namespaceHead, labels("pod-security.kubernetes.io/enforce: null")),
		},
	}
}

// use are the rights to give namespaces to one tenant.
func use(tenant string) []rbacv1.PolicyRule {
	rules := right(names.Group, "egresstenants", names.VerbUse)
	rules[0].ResourceNames = []string{tenant}
	return rules
}

func unlabel(t *testing.T, namespace string) {
	t.Helper()
	setTenant(t.Context(), t, namespace, "")
}

// finalize sets the tenant through the subresource finalize, or removes the
// label if it is empty.
func finalize(tenant string) request {
	return func(ctx context.Context, c client.Client, name string) error {
		namespace := &corev1.Namespace{}
		if err := c.Get(ctx, client.ObjectKey{Name: name}, namespace); err != nil {
			return err
		}
		namespace.Labels["egress.scw/tenant"] = tenant
		if tenant == "" {
			delete(namespace.Labels, "egress.scw/tenant")
		}
		return c.SubResource("finalize").Update(ctx, namespace)
	}
}

// secondNamespace creates a namespace and, if that succeeds, deletes it again as
// the administrator.
func secondNamespace(tenant string) request {
	return func(ctx context.Context, c client.Client, name string) error {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name + "-second", Labels: map[string]string{"egress.scw/tenant": tenant}}}
		if err := c.Create(ctx, namespace); err != nil {
			return err
		}
		return client.IgnoreNotFound(shared.client.Delete(ctx, namespace))
	}
}
