package v1alpha1

// Tenant is an EgressTenant in the form that lists of tenants have: in the
// chart's value "tenants", and in egress.yaml.
//
// +kubebuilder:object:generate=true
type Tenant struct {
	// name is the name of the EgressTenant.
	//
	// +required
	Name string `json:"name"`

	EgressTenantSpec `json:",inline"`
}
