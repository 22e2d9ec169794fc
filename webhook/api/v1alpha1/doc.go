// Package v1alpha1 is the API of egress.scw: the EgressTenant resource, the
// names that the product uses in a cluster, and what makes their values valid.
//
// +groupName=egress.scw
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion identifies this version of the API.
func GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: "egress.scw", Version: "v1alpha1"}
}

// AddToScheme registers the API's types, for clients to encode and decode them.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion(), &EgressTenant{}, &EgressTenantList{})
	metav1.AddToGroupVersion(scheme, GroupVersion())
	return nil
}
