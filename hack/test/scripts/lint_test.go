// Package scripts_test runs the scripts of hack/scripts in checkouts of their own, with
// programs that print how they are called.
package scripts_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// checkout is a repository of git with these files and a copy of lint.sh, all of them
// added. It returns the folder.
func checkout(t *testing.T, files map[string]string) string {
	t.Helper()
	script, err := os.ReadFile("../../scripts/lint.sh")
	if err != nil {
		t.Fatal(err)
	}
	files["hack/scripts/lint.sh"] = string(script)
	dir := t.TempDir()
	for name, content := range files {
		write(t, filepath.Join(dir, name), content, 0o600)
	}
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "."}} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

func write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// lint runs lint.sh with programs that print their name and their arguments.
func lint(t *testing.T, dir, kind string) (output string, err error) {
	t.Helper()
	programs := t.TempDir()
	for _, name := range []string{"shellcheck", "mdl", "promtool", "go"} {
		write(t, filepath.Join(programs, name), "#!/bin/sh\necho \"${0##*/} $*\"\n", 0o700)
	}
	command := exec.CommandContext(t.Context(), "sh", "hack/scripts/lint.sh", kind)
	command.Dir, command.Env = dir, append(os.Environ(), "PATH="+programs+":"+os.Getenv("PATH"))
	out, err := command.CombinedOutput()
	return string(out), err
}

// A file that was removed, and whose removal is not committed, keeps no other file from
// being checked. New files are checked before they are added.
func TestLintAfterARemoval(t *testing.T) {
	dir := checkout(t, map[string]string{
		"a.sh": "true\n", "b.txt": "text\n", "c": "#!/bin/sh\ntrue\n", "d": "# shellcheck shell=sh\ntrue\n", "a.md": "# A\n", "b.md": "# B\n", "c.md": "# C\n",
	})
	for _, name := range []string{"b.txt", "b.md"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "new.sh"), "true\n", 0o600)
	write(t, filepath.Join(dir, "new.md"), "# N\n", 0o600)
	scripts := []string{"a.sh", "c", "d", "hack/scripts/lint.sh", "new.sh"}
	for kind, calls := range map[string]map[string][]string{
		"shell":    {"shellcheck ": scripts, "shfmt --diff ": scripts},
		"markdown": {"mdl --style hack/scripts/markdown.rb ": {"a.md", "c.md", "new.md"}},
	} {
		out, err := lint(t, dir, kind)
		if err != nil {
			t.Errorf("%s: %v\n%s", kind, err, out)
		}
		for call, want := range calls {
			_, rest, _ := strings.Cut(out, call)
			files, _, _ := strings.Cut(rest, "\n")
			if got := slices.Sorted(strings.FieldsSeq(files)); !slices.Equal(got, want) {
				t.Errorf("%sgets %q, want %q:\n%s", call, got, want, out)
			}
		}
	}
}

// The names of metrics are checked, or the check fails.
func TestLintFindsMetrics(t *testing.T) {
	for text, want := range map[string]bool{"| `egress_requests_total` | meaning |\n": true, "| egress_requests_total | meaning |\n": false} {
		dir := checkout(t, map[string]string{"docs/reference/metrics.md": text, "charts/egress-webhook/rules/rules.yaml": "groups: []\n"})
		out, err := lint(t, dir, "prometheus")
		if (err == nil) != want || strings.Contains(out, "promtool check metrics") != want {
			t.Errorf("%q: %v\n%s", text, err, out)
		}
	}
}
