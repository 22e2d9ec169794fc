package main

import (
	"cmp"
	"context"
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
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=" + s.Version, "-o", file, "./" + cmp.Or(p.Folder, p.Name)}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+target.OS, "GOARCH="+target.Arch,
		"GOFLAGS=", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s for %s in %s: %w\n%s", strings.Join(args, " "), target, s.Dir, err, out)
	}
	return nil
}
