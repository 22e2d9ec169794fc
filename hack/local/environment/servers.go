package environment

import (
	"context"
	"time"

	"egress.scw/hack/local/network"
	"egress.scw/hack/local/node"
)

// ServersName is a name in the internet, for servers that tests start there
// (StartServers). Its address, Plan.Echoes[0], is also that of the IP echo, on ports 80
// and 443. The internet's certificate has the name.
const ServersName = "servers.example.net"

const processServers = "servers"

// StartServers runs a script of the shell in the internet, with the root filesystem of
// an image of the node's store. There, /mnt/tls.crt and /mnt/tls.key are the internet's
// certificate and its key. StartServers returns once the script runs, and its output is
// in the log (ServersLog).
func (e *Environment) StartServers(image, script string) error {
	command := node.Chroot(e.processes, image, internetDir, "sh", "-euc", script)
	command.Name, command.Netns = processServers, e.Plan.Netns(network.Internet)
	_, err := e.processes.Start(command)
	return err
}

// StopServers ends the script and its servers. It is not an error if there are none.
func (e *Environment) StopServers(ctx context.Context) error {
	return e.processes.Stop(ctx, 5*time.Second, processServers)
}

// ServersLog returns the end of the output of StartServers' script.
func (e *Environment) ServersLog() string { return e.processes.Tail(processServers) }
