package main

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"egress.scw/bootstrap/stack"
)

// knownHostsOf returns the lines of a known_hosts file for the SSH host keys of a machine,
// at its shared egress address. There are none while the address is not known.
func knownHostsOf(proxy *stack.ProxyMachine, keys []string) []string {
	var lines []string
	for _, address := range proxy.Addresses {
		if address.Use() != stack.RoleShared || !address.Address.IsValid() {
			continue
		}
		for _, text := range keys {
			// The parser of the report has parsed it.
			if key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text)); err == nil {
				lines = append(lines, knownhosts.Line([]string{address.Address.String()}, key))
			}
		}
	}
	return lines
}

// outputKnownHosts writes the known_hosts file with the keys that the machines have
// reported. Without SSH, and before a machine has reported keys, it writes nothing.
func outputKnownHosts(t *target, result *applied) error {
	var lines []string
	for _, machine := range result.Machines {
		lines = append(lines, machine.KnownHosts...)
	}
	if len(t.spec.Proxy.SSHSources) == 0 || len(lines) == 0 {
		return nil
	}
	file := t.knownHostsFile()
	header := fmt.Sprintf("%s for %s, and overwritten by it.\n# ssh -o UserKnownHostsFile=%s root@ADDRESS\n", outputMark, t.spec.Name, t.config.Spec.Outputs.KnownHosts)
	if err := writeMarked(file, []byte(header+strings.Join(lines, "\n")+"\n")); err != nil {
		return ofOutput(outputNameKnownHosts, file, err)
	}
	result.Files.KnownHosts = file
	return nil
}
