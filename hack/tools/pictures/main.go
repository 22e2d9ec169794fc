// Command pictures makes the pictures of the documents: the demo's page in a browser, and
// the output of bootstrap plan. Both run here, against fakes on loopback addresses.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/google/renameio/v2"
)

// folder is the folder of the pictures in the repository.
const folder = "docs/images"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, ".", os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

// run makes the pictures of the repository in the folder root, and lists them.
func run(ctx context.Context, root string, list io.Writer) (err error) {
	work, err := os.MkdirTemp("", "egress-pictures-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	write := func(name string, content []byte) error {
		file := filepath.Join(root, folder, name)
		fmt.Fprintf(list, "%s: %d KiB\n", file, (len(content)+1023)/1024)
		return renameio.WriteFile(file, content, 0o644)
	}
	plan, err := planOutput(ctx, root, work)
	if err != nil {
		return err
	}
	if err := write("bootstrap-plan.svg", terminalSVG("$ bootstrap plan", plan)); err != nil {
		return err
	}
	return demoPictures(ctx, root, work, write)
}
