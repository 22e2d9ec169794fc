// Command release builds a release: static binaries, container images, the Helm
// chart, an SBOM of each program, and checksums. It needs Go and git, and no
// container engine.
//
// Two runs of the same commit, version and Go toolchain give the same files.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal cancels the context. A second one ends the program at once.
	context.AfterFunc(ctx, stop)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	repository string
	version    string
	output     string
	registry   string
	downloads  string
}

func newCommand() *cobra.Command {
	var o options
	command := &cobra.Command{
		Use:           "release",
		Short:         "Build a release into a folder, and push it to a registry",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	flags := command.Flags()
	flags.StringVar(&o.repository, "repository", ".", "folder of the checkout to release")
	flags.StringVar(&o.version, "version", "", "semantic version without a leading v; default: the tag of the commit that is checked out")
	flags.StringVar(&o.output, "output", "dist", "folder that gets a folder with the version's name")
	flags.StringVar(&o.registry, "registry", "", "registry and namespace to push images and chart to, such as rg.fr-par.scw.cloud/example")
	flags.StringVar(&o.downloads, "downloads", "", "URL of the folder that will offer the archives of krew/, for the manifest of krew")
	return command
}

// run builds a release and, if there is a registry, pushes it.
func run(ctx context.Context, o options, w io.Writer) error {
	repositories, err := newRepositories(o.registry)
	if err != nil {
		return err
	}
	s, err := readSource(ctx, o.repository, o.version)
	if err != nil {
		return err
	}
	folder := filepath.Join(o.output, s.Version)
	err = writeFolder(folder, func(dir string) error {
		return build(ctx, s, repositories, o.downloads, dir, w)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s is complete; verify it with: cd %s && sha256sum --check %s\n", folder, folder, checksumFile)
	if o.registry == "" {
		return nil
	}
	return push(ctx, folder, s.Version, repositories, w)
}
