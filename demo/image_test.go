package main

import (
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDockerfile holds the required lines of the Dockerfile of webhook and demo.
func TestDockerfile(t *testing.T) {
	dockerfile := readFile(t, "../Dockerfile")

	bases := regexp.MustCompile(`(?m)^FROM .*$`).FindAllString(dockerfile, -1)
	pinned := regexp.MustCompile(`^FROM (--platform=\$BUILDPLATFORM )?[a-z0-9./-]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}( AS [a-z]+)?$`)
	if len(bases) != 2 {
		t.Errorf("%d stages, want 2: %q", len(bases), bases)
	}
	for _, base := range bases {
		if !pinned.MatchString(base) {
			t.Errorf("%q is not pinned by tag and digest", base)
		}
	}
	final := dockerfile[strings.LastIndex(dockerfile, "\nFROM ")+1:]
	if !strings.HasPrefix(final, "FROM gcr.io/distroless/static:nonroot@") {
		t.Errorf("the image does not stand on distroless: %.60q", final)
	}
	if !strings.Contains(final, "\nUSER 65532:65532\n") {
		t.Error("the image's user is not the number of nonroot")
	}
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "-X main.version=$VERSION", "GOOS=$TARGETOS GOARCH=$TARGETARCH"} {
		if !strings.Contains(dockerfile, want) {
			t.Errorf("the build lacks %s", want)
		}
	}
	for _, name := range []string{"TARGET", "VERSION", "TARGETOS", "TARGETARCH"} {
		if build := strings.TrimSuffix(dockerfile, final); !regexp.MustCompile(`(?m)^ARG ` + name + `(=.*)?$`).MatchString(build) {
			t.Errorf("the build stage does not declare ARG %s, so that $%s is empty", name, name)
		}
	}
}

// TestDockerfileGoVersion expects a builder that go.mod accepts: the image
// downloads no other toolchain.
func TestDockerfileGoVersion(t *testing.T) {
	image := regexp.MustCompile(`golang:(\d+\.\d+)\.\d+@`).FindStringSubmatch(readFile(t, "../Dockerfile"))
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)(\.\d+)?$`).FindStringSubmatch(readFile(t, "../go.mod"))
	if image == nil || module == nil || image[1] != module[1] {
		t.Errorf("the builder has Go %q, go.mod asks for %q", image, module)
	}
}

// TestDockerignore expects every source file that the images are built from in
// the build context.
func TestDockerignore(t *testing.T) {
	var included, excluded []string
	for line := range strings.Lines(readFile(t, "../.dockerignore")) {
		line = strings.TrimSpace(line)
		switch {
		case line == "", line == "*", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "!"):
			included = append(included, strings.TrimPrefix(line, "!"))
		default:
			excluded = append(excluded, line)
		}
	}

	// {{.Dir}}/FILE of every package of this module that goes into a binary.
	format := `{{if .Module}}{{if .Module.Main}}{{$p := .ImportPath}}{{range .GoFiles}}{{$p}}/{{.}}
{{end}}{{range .EmbedFiles}}{{$p}}/{{.}}
{{end}}{{end}}{{end}}`
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", format, "./webhook", "./demo")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	sources := []string{"go.mod", "go.sum"}
	for line := range strings.FieldsSeq(string(out)) {
		sources = append(sources, strings.TrimPrefix(line, "egress.scw/"))
	}
	if !slices.Contains(sources, "demo/static/index.html") {
		t.Errorf("go list does not list the embedded page: %q", sources)
	}
	for _, source := range sources {
		top, _, _ := strings.Cut(source, "/")
		if !slices.Contains(included, top) {
			t.Errorf("%s is not in the build context", source)
		}
		for _, pattern := range excluded {
			if ignores(t, pattern, source) {
				t.Errorf("%s is taken out of the build context by %q", source, pattern)
			}
		}
	}
}

// ignores reports whether a pattern of .dockerignore, of the forms used there,
// matches the file or a folder that it lies in.
func ignores(t *testing.T, pattern, file string) bool {
	t.Helper()
	name, anywhere := strings.CutPrefix(pattern, "**/")
	for part := file; part != "."; part = path.Dir(part) {
		candidate := part
		if anywhere {
			candidate = path.Base(part)
		}
		match, err := path.Match(name, candidate)
		if err != nil {
			t.Fatalf("pattern %q: %v", pattern, err)
		}
		if match {
			return true
		}
	}
	return false
}
