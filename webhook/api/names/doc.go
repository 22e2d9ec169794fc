// Package names holds every name that the product reads or writes outside its
// own processes: labels, annotations, reasons, conditions, headers, ports, paths
// and metrics. It imports the standard library alone, so that programs beside
// pods and plugins can use it without linking Kubernetes.
//
// The chart, scripts and documents repeat these names; tests compare them.
package names
