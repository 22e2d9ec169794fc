package squid

import "strings"

// tagPrefix begins the names of the ACLs that annotate what arrives on a
// tenant's port with the tenant's name and generation; the port follows.
const tagPrefix = "tag_"

// Generations returns the generation of every tenant that a rendered file
// serves, by the tenant's name, so that it can be told what another rendering
// would change. Of a file that Render did not make it returns what it finds:
// nothing, mostly.
func Generations(conf []byte) map[string]string {
	generations := map[string]string{}
	for line := range strings.Lines(string(conf)) {
		words := strings.Fields(line)
		if len(words) != 5 || words[0] != "acl" || !strings.HasPrefix(words[1], tagPrefix) || words[2] != "annotate_transaction" {
			continue
		}
		tenant, isTenant := strings.CutPrefix(words[3], "tenant=")
		generation, isGeneration := strings.CutPrefix(words[4], "generation=")
		if isTenant && isGeneration && tenant != "" && generation != "" {
			generations[tenant] = generation
		}
	}
	return generations
}
