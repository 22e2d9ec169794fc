// Package controller contains the work of the leader. It keeps the
// NetworkPolicies of tenants in sync in their namespaces, writes the status of
// EgressTenants, and applies their CustomResourceDefinition.
package controller
