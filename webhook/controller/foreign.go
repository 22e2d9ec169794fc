package controller

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
)

// PolicyKind is a kind of namespaced policies of a network plug-in, which open
// egress paths beside NetworkPolicies.
type PolicyKind schema.GroupVersionKind

// pluginPolicies are the kinds of Cilium and Calico. Calico's two are the same
// objects, of which only one group is watched: the first that exists, as reading
// the second may need rights on Calico's tiers.
var pluginPolicies = []PolicyKind{
	CiliumPolicies,
	{Group: "crd.projectcalico.org", Version: "v1", Kind: "NetworkPolicy"},
	{Group: "projectcalico.org", Version: "v3", Kind: "NetworkPolicy"},
}

// PluginPolicies returns the kinds that the API server knows. Kinds that are
// installed later are noticed at the next start of the process.
func PluginPolicies(mapper meta.RESTMapper) ([]PolicyKind, error) {
	var known []PolicyKind
	seen := map[string]bool{}
	for _, kind := range pluginPolicies {
		_, err := mapper.RESTMapping(schema.GroupKind{Group: kind.Group, Kind: kind.Kind}, kind.Version)
		switch {
		case meta.IsNoMatchError(err):
		case err != nil:
			return nil, fmt.Errorf("looking for the kind %s of %s: %w", kind.Kind, kind.Group, err)
		case !seen[kind.Kind]:
			known, seen[kind.Kind] = append(known, kind), true
		}
	}
	return known, nil
}

func (k PolicyKind) object() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(schema.GroupVersionKind(k))
	return object
}

// ForeignEgress returns the policies of other clients in a namespace that have
// egress rules, as "NAMESPACE/KIND NAME". An empty namespace stands for all of them.
func ForeignEgress(ctx context.Context, reader client.Reader, kinds []PolicyKind, namespace string) ([]string, error) {
	var policies networkingv1.NetworkPolicyList
	if err := reader.List(ctx, &policies, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the NetworkPolicies of namespace %s: %w", namespace, err)
	}
	var found []string
	for i := range policies.Items {
		if policy := &policies.Items[i]; policy.Name != names.PolicyName && len(policy.Spec.Egress) > 0 {
			found = append(found, policy.Namespace+"/NetworkPolicy "+policy.Name)
		}
	}
	for _, kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind + "List"})
		if err := reader.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing objects of kind %s of %s in namespace %s: %w", kind.Kind, kind.Group, namespace, err)
		}
		for i := range list.Items {
			if kind == CiliumPolicies && list.Items[i].GetName() == names.PolicyName {
				continue // the webhook's own
			}
			if hasEgress(list.Items[i].Object) {
				found = append(found, fmt.Sprintf("%s/%s %s", list.Items[i].GetNamespace(), kind.Kind, list.Items[i].GetName()))
			}
		}
	}
	return found, nil
}

// hasEgress reports whether a policy of a plug-in has egress rules, in its spec or
// in one of its specs, which CiliumNetworkPolicies have.
func hasEgress(object map[string]any) bool {
	specs, _, _ := unstructured.NestedSlice(object, "specs")
	if spec, ok := object["spec"]; ok {
		specs = append(specs, spec)
	}
	for _, spec := range specs {
		if fields, ok := spec.(map[string]any); ok {
			if rules, ok := fields["egress"].([]any); ok && len(rules) > 0 {
				return true
			}
		}
	}
	return false
}

// keepWhatIsRead reduces an object before it is cached: managed fields are
// removed, of Services only names and addresses are kept, and of policies with another
// name than the webhook's only names, and whether there are egress rules. They are
// then not the objects of the API server.
func keepWhatIsRead(object any) (any, error) {
	object, err := cache.TransformStripManagedFields()(object)
	if err != nil {
		return nil, err
	}
	switch policy := object.(type) {
	case *corev1.Service:
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: policy.Name, Namespace: policy.Namespace, UID: policy.UID, ResourceVersion: policy.ResourceVersion},
			Spec:       corev1.ServiceSpec{ClusterIPs: policy.Spec.ClusterIPs},
		}, nil
	case *corev1.Secret:
		return stripSecret(policy), nil
	case *networkingv1.NetworkPolicy:
		if policy.Name == names.PolicyName {
			break
		}
		open := len(policy.Spec.Egress) > 0
		policy.Labels, policy.Annotations, policy.Spec = nil, nil, networkingv1.NetworkPolicySpec{}
		if open {
			policy.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{}}
		}
	case *unstructured.Unstructured:
		if policy.GetKind() == CiliumPolicies.Kind && policy.GetName() == names.PolicyName {
			break
		}
		open := hasEgress(policy.Object)
		metadata, _, _ := unstructured.NestedMap(policy.Object, "metadata")
		delete(metadata, "annotations")
		delete(metadata, "labels")
		policy.Object = map[string]any{"apiVersion": policy.GetAPIVersion(), "kind": policy.GetKind(), "metadata": metadata}
		if open {
			policy.Object["spec"] = map[string]any{"egress": []any{map[string]any{}}}
		}
	}
	return object, nil
}
