package explain

import "egress.scw/webhook/api/v1alpha1"

// Revision returns the Revision of an EgressTenant, which its proxies should serve.
func Revision(tenant *v1alpha1.EgressTenant) string {
	return v1alpha1.Tenant{Name: tenant.Name, EgressTenantSpec: tenant.Spec}.Revision()
}
