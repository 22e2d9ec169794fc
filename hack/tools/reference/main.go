// Command reference writes docs/reference from the code: doc comments, schemas
// and the help of the programs.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// page is a page of docs/reference.
type page struct {
	file     string
	generate func(context.Context, *repository) (string, error)
}

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	if err := run(context.Background(), root); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root string) error {
	r := &repository{root: root}
	folder := filepath.Join(root, "docs", "reference")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, p := range []page{
		{"api.md", apiPage},
		{"clients.md", clientsPage},
		{"egress.md", egressPage},
		{"flags.md", flagsPage},
		{"metrics.md", metricsPage},
		{"reasons.md", reasonsPage},
		{"settings.md", settingsPage},
	} {
		text, err := p.generate(ctx, r)
		if err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
		if err := renameio.WriteFile(filepath.Join(folder, p.file), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
