// Package v1alpha1 is the API of egress.scw: the EgressTenant resource, its
// defaults and its validation.
//
// +groupName=egress.scw
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"egress.scw/webhook/api/names"
)

// GroupVersion identifies this version of the API.
var GroupVersion = schema.GroupVersion{Group: names.Group, Version: names.Version}

// AddToScheme registers the API's types, for clients to encode and decode them.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &EgressTenant{}, &EgressTenantList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
