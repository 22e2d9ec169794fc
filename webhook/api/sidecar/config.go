// Package sidecar is the format of the file that the webhook writes for the
// sidecars of a tenant, config.json in the Secret names.SidecarName.
//
// Pods keep the sidecar that they were created with, while the webhook is upgraded:
// sidecars older than the webhook read the file. They refuse fields that they do not
// know. A later format therefore needs a further key in the Secret, beside this one.
package sidecar

import (
	"net/netip"
)

// Bounds of the file.
const (
	// MaxBytes is the size of the largest file: 16 machines with two certificates of
	// 3 KiB each, and the rest.
	MaxBytes = 128 << 10
	// MaxMachines is the number of proxy machines.
	MaxMachines = 16
	// MaxCertificates is the number of certificates of a machine: the present one, and
	// the one that replaces it.
	MaxCertificates = 2
	// MaxPorts is the number of captured ports, as in the list of a tenant.
	MaxPorts = 16
	// MaxResolvers is the number of resolvers, as in a pod's resolv.conf.
	MaxResolvers = 3
	// MaxDirect is the number of domains without the proxy: 64 of spec.noProxy of a
	// tenant, the private domain "internal", and the name of the API server.
	MaxDirect = 66
	// MaxRanges is the number of the cluster's ranges of addresses, as in the settings.
	MaxRanges = 64
)

// Config is the content of the file.
type Config struct {
	// Tenant is the name of the EgressTenant, which is also the common name of the
	// tenant's certificate.
	Tenant string `json:"tenant"`
	// Machines are the proxy machines, at least one and at most MaxMachines. Their
	// order has no meaning.
	Machines []Machine `json:"machines"`
	// Capture makes the sidecar the resolver of the pod. Absent: no capture.
	Capture *Capture `json:"capture,omitempty"`
}

// Machine is a proxy machine.
type Machine struct {
	// Address is the address and the port for sidecars (names.SidecarPort), such as
	// 172.16.28.8:3443.
	Address netip.AddrPort `json:"address"`
	// Certificate is the machine's certificate in PEM. A sidecar trusts exactly this
	// certificate at this address; the names in it and its dates are not judged. While
	// a machine gets another certificate, there are both, one behind the other, at
	// most MaxCertificates.
	Certificate string `json:"certificate"`
}

// Capture is how the sidecar serves programs that read no proxy variables.
type Capture struct {
	// Ports are the ports on which it accepts connections to captured names: the
	// tenant's list, or 80 and 443. At least one, at most MaxPorts. The ports that the
	// proxy forbids to every tenant are not valid.
	Ports []uint16 `json:"ports"`
	// ClusterDomain is the domain of the cluster, such as cluster.local. Names in it
	// are asked of Resolvers, and are never captured.
	ClusterDomain string `json:"clusterDomain"`
	// Resolvers are the addresses and ports of the cluster's DNS, at least one and at
	// most MaxResolvers, in the order in which they are asked.
	Resolvers []netip.AddrPort `json:"resolvers"`
	// Direct are further domains whose names, and all names below them, are asked of
	// Resolvers and reached without the proxy, such as those of spec.noProxy of the
	// tenant. At most MaxDirect.
	Direct []string `json:"direct,omitempty"`
	// Ranges are the ranges of the cluster's Services, pods and nodes, without host
	// bits. Reverse names of addresses in them are asked of Resolvers, and those of
	// other addresses are not. At most MaxRanges.
	Ranges []netip.Prefix `json:"ranges,omitempty"`
}
