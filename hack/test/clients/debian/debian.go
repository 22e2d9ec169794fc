// Package debian installs the Debian packages of clients in a root filesystem of
// their own.
package debian

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"egress.scw/hack/local/machine"
	"egress.scw/hack/test/clients/matrix"
)

// Release is the Debian release of the clients.
const Release = machine.Bookworm

// support are packages that clients need beside their own.
var support = []string{"ca-certificates", "ca-certificates-java", "netbase"}

// Packages returns the Debian packages of the clients and those that they need.
func Packages(clients []matrix.Client) []string {
	packages := slices.Clone(support)
	for i := range clients {
		if name, isDebian := strings.CutPrefix(clients[i].Package, "debian:"); isDebian {
			packages = append(packages, name)
		}
		packages = append(packages, clients[i].Needs...)
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}

// Options returns the options of mmdebstrap for a root filesystem with the packages.
func Options(packages []string) []string {
	return []string{
		"--mode=root", "--variant=minbase", "--include=" + strings.Join(packages, ","),
		`--aptopt=Acquire::Languages "none"`,
		"--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
		// The JDK's own modules are in one file beside these.
		"--dpkgopt=path-exclude=/usr/lib/jvm/*/jmods/*",
		// The packages of Java fail without a folder for their manuals.
		`--essential-hook=mkdir -p "$1"/usr/share/man/man1`,
	}
}

// Hook returns the option that runs a command of the shell after the installation.
// $1 is the folder of the root filesystem.
func Hook(format string, args ...any) string {
	return "--customize-hook=" + fmt.Sprintf(format, args...)
}

// Folder installs the packages in a new folder, and then runs the hooks.
func Folder(ctx context.Context, folder string, packages []string, hooks ...string) error {
	return install(ctx, io.Discard, packages, append(hooks, "--format=directory"), folder)
}

// Tar installs the packages with further options, among them hooks, and writes the root
// filesystem to out in the format of tar.
func Tar(ctx context.Context, out io.Writer, packages []string, options ...string) error {
	return install(ctx, out, packages, append(options, "--format=tar"), "-")
}

func install(ctx context.Context, out io.Writer, packages, options []string, target string) error {
	sources, err := machine.AptSources(ctx, Release)
	if err != nil {
		return err
	}
	// In a mount namespace of its own: mounts of a killed mmdebstrap would stay, /dev
	// among them, and the removal of the folder would lead into them.
	args := append([]string{"--mount", "--fork", "--kill-child", "mmdebstrap"}, Options(packages)...)
	args = append(append(args, options...), string(Release), target)
	cmd := exec.CommandContext(ctx, "unshare", append(args, sources...)...)
	var printed strings.Builder
	cmd.Stdout, cmd.Stderr = out, &printed
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("mmdebstrap: %w; the end of its output:\n%s", err, printed.String()[max(0, printed.Len()-2000):])
	}
	return nil
}
