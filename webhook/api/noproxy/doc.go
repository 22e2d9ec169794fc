// Package noproxy reads, lists and merges the entries of NO_PROXY: destinations
// that clients reach without the proxy. It is pure, and links nothing of
// Kubernetes.
package noproxy
