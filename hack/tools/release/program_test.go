package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Settings of the machine that builds do not change a program: those of its environment
// variables, and those of go env -w.
func TestCompileIgnoresSettings(t *testing.T) {
	s := example()
	s.Dir = t.TempDir()
	write := func(name, content string) string {
		file := filepath.Join(s.Dir, name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("go.mod", "module example.test\n\ngo 1.26\n")
	write("main.go", "package main\n\nvar version, tag string\n\nfunc main() { print(version, tag) }\n")
	write("tagged.go", "//go:build tagged\n\npackage main\n\nfunc init() { tag = \" with a tag\" }\n")
	target := platform{runtime.GOOS, runtime.GOARCH}
	for name, settings := range map[string]map[string]string{
		"environment variables": {"GOFLAGS": "-tags=tagged", "GOFIPS140": "latest"},
		"go env -w":             {"GOENV": write("env", "GOFLAGS=-tags=tagged\nGOFIPS140=latest\n")},
	} {
		t.Run(name, func(t *testing.T) {
			for variable, value := range settings {
				t.Setenv(variable, value)
			}
			file := filepath.Join(t.TempDir(), "program")
			if err := (program{Name: "program", Folder: "."}).compile(t.Context(), s, target, file); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), file).CombinedOutput(); err != nil || string(out) != "0.1.0" {
				t.Errorf("the program prints %q, %v; want its version", out, err)
			}
			if out, err := exec.CommandContext(t.Context(), "go", "version", "-m", file).CombinedOutput(); err != nil || strings.Contains(string(out), "GOFIPS140") {
				t.Errorf("%v: it is built with GOFIPS140:\n%s", err, out)
			}
		})
	}
}
