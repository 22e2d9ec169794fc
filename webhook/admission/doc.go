// Package admission answers the API server's AdmissionReviews of pods, on every
// replica. It reads namespaces, tenants and policies, leaves the decision and
// the patch to package inject, and does not admit a pod into a tenant's
// namespace before the namespace's NetworkPolicy exists.
package admission
