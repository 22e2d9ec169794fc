package main

// egressPath is the path of the tenant that the pod belongs to, as its manifest
// states it: the demo has no access to the cluster's API.
type egressPath string

const (
	// pathProxy is the path of a tenant that reaches the internet through the
	// proxy only.
	pathProxy egressPath = "Proxy"

	// pathGateway is the path of a tenant that reaches the public internet
	// directly, from the address of the Public Gateway.
	pathGateway egressPath = "Gateway"
)

// reached is the outcome of a request that reached the internet.
func (p egressPath) reached(directly bool) outcome {
	switch {
	case directly == (p == pathGateway):
		return outcomeProtected
	case directly:
		return outcomeUnprotected
	}
	// A proxy is set, though the path needs none: the tenant's own choice.
	return outcomeInconclusive
}

// blocked is the outcome of a direct connection that did not open.
func (p egressPath) blocked() outcome {
	if p == pathGateway {
		return outcomeFailed
	}
	return outcomeProtected
}
