package squid

import "strings"

// tagPrefix begins the names of the ACLs that annotate what arrives on a
// tenant's port with the tenant's name and revision; the port follows.
const tagPrefix = "tag_"

// Revisions returns the revision of every tenant that a rendered file
// serves, by the tenant's name, so that it can be told what another rendering
// would change. Of a file that Render did not make it returns what it finds:
// nothing, mostly.
func Revisions(conf []byte) map[string]string {
	revisions := map[string]string{}
	for line := range strings.Lines(string(conf)) {
		words := strings.Fields(line)
		if len(words) != 5 || words[0] != "acl" || !strings.HasPrefix(words[1], tagPrefix) || words[2] != "annotate_transaction" {
			continue
		}
		tenant, isTenant := strings.CutPrefix(words[3], "tenant=")
		revision, isRevision := strings.CutPrefix(words[4], "revision=")
		if isTenant && isRevision && tenant != "" && revision != "" {
			revisions[tenant] = revision
		}
	}
	return revisions
}
