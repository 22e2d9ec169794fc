package environment

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"

	"egress.scw/hack/local/node"
)

// Refused returns the number of packets to an address that the node's enforcer of
// NetworkPolicies has refused so far. With Cilium there is no such log, which is an error.
func (e *Environment) Refused(to netip.AddrPort) (count int, err error) {
	name := e.processes.LogFile(node.Enforcer)
	content, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(content) {
		var entry struct {
			Message string `json:"msg"`
			Packet  struct {
				DstIP   netip.Addr
				DstPort uint16
			} `json:"packet"`
		}
		if !bytes.HasSuffix(line, []byte("\n")) || !bytes.Contains(line, []byte(`"refused"`)) {
			continue // another one, or it is being written
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		if entry.Message == "refused" && netip.AddrPortFrom(entry.Packet.DstIP, entry.Packet.DstPort) == to {
			count++
		}
	}
	return count, nil
}
