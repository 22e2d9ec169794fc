// Package noproxy parses, lists and merges the entries of NO_PROXY: destinations
// that clients reach without the proxy. It is pure and does not link Kubernetes.
package noproxy
