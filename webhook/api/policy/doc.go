// Package policy decides which requests of a tenant the proxy allows: by the
// tenant's allow list, and by the destinations and ports that are forbidden to
// every tenant. It is pure and does not link Kubernetes, so that programs beside
// pods and plugins can use it.
package policy
