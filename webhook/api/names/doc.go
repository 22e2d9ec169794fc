// Package names holds the names that the product shares with clusters, proxies
// and monitoring: labels, annotations, reasons, conditions, headers, ports, paths
// and metrics. It imports the standard library alone, so that programs beside
// pods and plugins can use it without linking Kubernetes.
//
// Names of a single package are in that package: the tags of resources at
// Scaleway in bootstrap/stack, the files of the proxy machine in cloudinit, and
// the fields of the audit log in cloudinit/squid.
//
// The chart, scripts and documents repeat these names; tests compare them.
package names
