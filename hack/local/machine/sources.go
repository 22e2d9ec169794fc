package machine

import (
	"context"
	"slices"
	"strings"
)

// AptSources returns the sources of a release on the mirrors that this machine's
// apt uses, as lines of sources.list. The apt of another distribution has no such
// mirror: then there are none, and mmdebstrap uses Debian's own.
func AptSources(ctx context.Context, release Release) ([]string, error) {
	out, err := output(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Identifier: Packages")
	if err != nil {
		return nil, err
	}
	return releaseSources(string(out), release), nil
}

// releaseSources returns the sources of a release for lines "URI RELEASE
// COMPONENT". A mirror of one release has the other too.
func releaseSources(targets string, release Release) []string {
	var sources []string
	for line := range strings.Lines(targets) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[2] != "main" {
			continue
		}
		has, part, divided := strings.Cut(fields[1], "-")
		if has != string(Bookworm) && has != string(Trixie) || divided && part != "updates" && part != "security" {
			continue
		}
		source := "deb " + fields[0] + " " + string(release) + strings.TrimPrefix(fields[1], has) + " main"
		if !slices.Contains(sources, source) {
			sources = append(sources, source)
		}
	}
	return sources
}
