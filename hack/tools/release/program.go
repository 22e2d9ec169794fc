package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// platform is an operating system and an architecture, by Go's names.
type platform struct{ OS, Arch string }

func (p platform) String() string { return p.OS + "_" + p.Arch }

// program is a main package of the product.
type program struct {
	// Name is the name of the binary.
	Name string
	// Folder is the folder of its package; without it, Name.
	Folder string
	// BOM is the name in the file of its SBOM; without it, Name.
	BOM string
	// Platforms are those that it is built for.
	Platforms []platform
}

// Platforms of the product. People run the tools on their own machines.
var (
	linux    = []platform{{"linux", "amd64"}, {"linux", "arm64"}}
	machines = append(slices.Clone(linux), platform{"darwin", "amd64"}, platform{"darwin", "arm64"})

	// tools are released as binaries.
	tools = []program{{Name: "bootstrap", Platforms: machines}, plugin}
	// plugin is also released as archives for krew.
	plugin = program{Name: "kubectl-egress", Folder: "webhook/kubectl-egress", Platforms: machines}
	// services are released as images.
	services = []program{
		{Name: "webhook", Folder: "webhook", Platforms: linux},
		{Name: "sidecar", Folder: "webhook/sidecar", Platforms: linux},
		// The program of tools for another kind of release: its SBOM has a name of its own.
		{Name: "bootstrap", Folder: "bootstrap", BOM: "bootstrap-image", Platforms: linux},
		{Name: "demo", Folder: "demo", Platforms: linux},
	}
)

// file is the name of a binary in a release.
func (p program) file(version string, target platform) string {
	return fmt.Sprintf("%s_%s_%s", p.Name, version, target)
}

// compile builds a static binary into a file. Paths of this machine and details
// of the working tree do not get into it, and settings of the environment that
// change code generation do not apply.
func (p program) compile(ctx context.Context, s source, target platform, file string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	downloads, err := downloadSettings(ctx, s.Dir)
	if err != nil {
		return err
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=" + s.Version, "-o", file, "./" + cmp.Or(p.Folder, p.Name)}
	// GOENV: an empty variable does not replace a setting of go env -w.
	_, err = runGo(ctx, s.Dir, append(downloads, "GOENV=off", "CGO_ENABLED=0", "GOOS="+target.OS, "GOARCH="+target.Arch,
		"GOFLAGS=", "GOEXPERIMENT=", "GOFIPS140=off", "GOAMD64=v1", "GOARM64=v8.0", "GOWORK=off"), args...)
	if err != nil {
		return fmt.Errorf("%s for %s: %w", p.Name, target, err)
	}
	return nil
}

// downloadSettings returns Go's settings of the places of modules, toolchains and caches,
// also those of go env -w. They do not change a binary.
func downloadSettings(ctx context.Context, dir string) ([]string, error) {
	out, err := runGo(ctx, dir, nil, "env", "-json", "GOAUTH", "GOCACHE", "GOINSECURE", "GOMODCACHE", "GONOPROXY", "GONOSUMDB", "GOPATH",
		"GOPRIVATE", "GOPROXY", "GOSUMDB", "GOTOOLCHAIN", "GOVCS")
	if err != nil {
		return nil, err
	}
	var values map[string]string
	if err := json.Unmarshal(out, &values); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	var settings []string
	for name, value := range values {
		settings = append(settings, name+"="+value)
	}
	return settings, nil
}

// runGo returns the standard output of a go command with further environment variables.
func runGo(ctx context.Context, dir string, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go %s in %s: %w\n%s%s", strings.Join(args, " "), dir, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes(), nil
}
