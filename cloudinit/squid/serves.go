package squid

import "strings"

// servesPrefix begins a comment line "# serves PORT REVISION TENANT", which
// squid.conf contains once for each tenant: the revision that answers on the port
// carry once Squid has read the file. The machine reads these lines too.
const servesPrefix = "# serves "

// servesSidecarsPrefix begins that line of a tenant that only sidecars reach: the
// machine asks no port for pods for its revision, and opens none.
const servesSidecarsPrefix = "# serves-sidecars "

// Revisions returns the revision of every tenant that a rendered squid.conf
// serves, by the tenant's name: a plan compares them with those of another
// rendering. A file that Render did not return has none.
func Revisions(conf []byte) map[string]string {
	revisions := map[string]string{}
	for _, line := range served(conf) {
		revisions[line.tenant] = line.revision
	}
	return revisions
}

// Ports returns the tenant that a rendered squid.conf serves on each port, by the
// port. A file that Render did not return has none.
func Ports(conf []byte) map[string]string {
	ports := map[string]string{}
	for _, line := range served(conf) {
		ports[line.port] = line.tenant
	}
	return ports
}

type servesLine struct{ port, revision, tenant string }

func served(conf []byte) []servesLine {
	var lines []servesLine
	for line := range strings.Lines(string(conf)) {
		line = strings.TrimSuffix(line, "\n")
		words, found := strings.CutPrefix(line, servesPrefix)
		if !found {
			words, found = strings.CutPrefix(line, servesSidecarsPrefix)
		}
		if fields := strings.Split(words, " "); found && len(fields) == 3 && fields[0] != "" && fields[1] != "" && fields[2] != "" {
			lines = append(lines, servesLine{fields[0], fields[1], fields[2]})
		}
	}
	return lines
}
