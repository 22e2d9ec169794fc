package environment

import (
	"egress.scw/hack/local/cluster"
	"egress.scw/hack/local/network"
)

// anonymous is the user of requests without credentials. The API server records them,
// so that tests see which clients reach it.
const anonymous = "system:anonymous"

func (e *Environment) clusterConfig() cluster.Config {
	return cluster.Config{
		Environment: e.processes, Binary: e.binaries.kubernetes,
		Address: e.Plan.NodeAddress, Netns: e.Plan.Netns(network.Node), Hosts: []string{cluster.NodeName},
		AuditedUser: anonymous, Commands: e.commands,
	}
}
