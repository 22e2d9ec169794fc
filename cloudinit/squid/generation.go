package squid

import (
	"strings"

	"egress.scw/webhook/api/v1alpha1"
)

// listenerPrefix begins the names of the ACLs that match what arrives on a
// tenant's port; the port follows.
const listenerPrefix = "l_"

// Generations returns the generation of every tenant that a rendered file
// serves, by the tenant's name, so that it can be told what another rendering
// would change. Of a file that Render did not make it returns what it finds:
// nothing, mostly.
func Generations(conf []byte) map[string]string {
	tenants := map[string]string{}     // by ACL
	generations := map[string]string{} // by ACL
	for line := range strings.Lines(string(conf)) {
		words := strings.Fields(line)
		if len(words) != 4 {
			continue
		}
		switch {
		case words[0] == "acl" && words[2] == "myportname" && strings.HasPrefix(words[1], listenerPrefix):
			tenants[words[1]] = words[3]
		case words[0] == "reply_header_add" && words[1] == v1alpha1.HeaderGeneration:
			generations[words[3]] = words[2]
		}
	}
	result := make(map[string]string, len(generations))
	for listener, generation := range generations {
		if tenant, ok := tenants[listener]; ok {
			result[tenant] = generation
		}
	}
	return result
}
