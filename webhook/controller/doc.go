// Package controller contains the controllers of namespaces and tenants, which run on the leader,
// and the caches and the NetworkPolicy writer that every replica uses.
package controller
