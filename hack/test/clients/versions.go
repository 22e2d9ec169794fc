package clients

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"egress.scw/hack/test/clients/matrix"
)

// versions are the installed versions of packages, by their names in rows.
type versions map[string]string

// installedVersions returns those of Debian's packages in the root filesystem, of
// the Go modules in the program of the Go clients, and of npm's packages.
func installedVersions(ctx context.Context, root *root, program string, clients []matrix.Client) (versions, error) {
	installed := versions{}
	cmd := exec.CommandContext(ctx, "dpkg-query", "--admindir="+filepath.Join(root.path(), "var/lib/dpkg"), "--show", "--showformat=${Package} ${Version}\n")
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("dpkg-query: %w: %s", err, strings.TrimSpace(problems.String()))
	}
	for line := range strings.Lines(string(out)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, rest, hasEpoch := strings.Cut(version, ":"); hasEpoch {
			version = rest
		}
		installed["debian:"+name] = version
	}
	build, err := buildinfo.ReadFile(program)
	if err != nil {
		return nil, err
	}
	installed["go:go"] = strings.TrimPrefix(build.GoVersion, "go")
	for _, module := range build.Deps {
		installed["go:"+module.Path] = strings.TrimPrefix(module.Version, "v")
	}
	for i := range clients {
		if name, isNode := strings.CutPrefix(clients[i].Package, "npm:"); isNode {
			if installed["npm:"+name], err = nodeVersion(filepath.Join(root.path(), "opt/node_modules", name, "package.json")); err != nil {
				return nil, err
			}
		}
	}
	return installed, nil
}

func nodeVersion(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var about struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(text, &about); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return strings.TrimPrefix(about.Version, "v"), nil // Node 18's has a v
}

// check returns an error if another version of the client is installed than that of
// its row.
func (v versions) check(client *matrix.Client) error {
	installed := v[client.Package]
	rest, found := strings.CutPrefix(installed, client.Version)
	if !found || rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		return fmt.Errorf("%s is installed in version %q, and the row is for %s: review the outcomes with -update, and correct the row's version",
			client.Package, installed, client.Version)
	}
	return nil
}
