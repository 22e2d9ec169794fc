package squid

import "strings"

// servesPrefix begins a comment line "# serves PORT REVISION TENANT", which
// squid.conf contains once for each tenant: the revision that answers on the port
// carry once Squid has read the file. The machine reads these lines too.
const servesPrefix = "# serves "

// Revisions returns the revision of every tenant that a rendered squid.conf
// serves, by the tenant's name: a plan compares them with those of another
// rendering. A file that Render did not return has none.
func Revisions(conf []byte) map[string]string {
	revisions := map[string]string{}
	for line := range strings.Lines(string(conf)) {
		words, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), servesPrefix)
		if fields := strings.Split(words, " "); found && len(fields) == 3 && fields[0] != "" && fields[1] != "" && fields[2] != "" {
			revisions[fields[2]] = fields[1]
		}
	}
	return revisions
}
