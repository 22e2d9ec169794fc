// Package machines chooses a proxy machine for each request of the pod, over
// connections that identify the tenant by its certificate.
package machines
