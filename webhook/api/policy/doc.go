// Package policy decides which requests of a tenant the proxy lets pass: by the
// tenant's allow list, and by the destinations and ports that are forbidden to
// every tenant. It is pure, and links nothing of Kubernetes.
package policy
