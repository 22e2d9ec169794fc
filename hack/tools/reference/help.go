package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// help is the help of a command of a program.
type help struct {
	command string
	text    string
}

// subcommand is a line of cobra's list of commands.
var subcommand = regexp.MustCompile(`(?m)^  ([a-z]+) +\S`)

// program is a program of the product: the command that users type, and the folder of
// its package.
type program struct{ command, folder string }

// helps builds a program and returns its help and that of its commands.
func (r *repository) helps(ctx context.Context, p program) ([]help, error) {
	dir, err := os.MkdirTemp("", "egress-reference-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program, binary := p.command, filepath.Join(dir, "program")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, "./"+p.folder)
	build.Dir = r.root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go build ./%s: %w\n%s", p.folder, err, out)
	}
	root, err := runHelp(ctx, binary, program)
	if err != nil {
		return nil, err
	}
	all := []help{root}
	_, list, found := strings.Cut(root.text, "Available Commands:\n")
	if !found {
		return all, nil
	}
	list, _, _ = strings.Cut(list, "\n\n")
	for _, match := range subcommand.FindAllStringSubmatch(list, -1) {
		if match[1] == "help" || match[1] == "completion" {
			continue // cobra's own
		}
		h, err := runHelp(ctx, binary, program, match[1])
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	return all, nil
}

func runHelp(ctx context.Context, binary, program string, args ...string) (help, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, binary, append(args, "--help")...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return help{}, fmt.Errorf("%s %s --help: %w\n%s", program, strings.Join(args, " "), err, out.String())
	}
	return help{strings.Join(append([]string{program}, args...), " "), strings.TrimSpace(out.String())}, nil
}
