package programs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The linked-in version must be the built version.
func TestKubernetesVersionMatchesTheModule(t *testing.T) {
	mod, err := os.ReadFile("../../tools/kubernetes/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`k8s\.io/kubernetes (v\S+)`).FindSubmatch(mod)
	if match == nil || string(match[1]) != kubernetesVersion {
		t.Errorf("hack/tools/kubernetes/go.mod builds %q, linked in is %q", match, kubernetesVersion)
	}
}

// The product's programs are built before each run, and linking takes longer than
// all else if nothing changed. Go compares the build ID only, so bytes behind the
// binary show whether it was linked.
func TestBuildLinksOnlyWhatChanged(t *testing.T) {
	root := t.TempDir()
	b := &Builder{root: root, cache: t.TempDir()}
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.test\n\ngo 1.26\n")
	write("main.go", "package main\n\nfunc main() {}\n")
	const mark = "behind the binary"
	build := func() (marked bool) {
		t.Helper()
		path, err := b.Build(t.Context(), Program{Name: "thing", Module: ".", Package: "."})
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), path).CombinedOutput(); err != nil {
			t.Fatalf("the binary does not run: %v\n%s", err, out)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, append(content, mark...), 0o700); err != nil {
			t.Fatal(err)
		}
		return strings.HasSuffix(string(content), mark)
	}

	build()
	if !build() {
		t.Error("a binary was linked again although nothing changed")
	}
	write("main.go", "package main\n\nfunc main() { println() }\n")
	if build() {
		t.Error("a changed program was not linked again")
	}
}

func TestBuildKeepsThirdPartyProgramsUntilTheirModuleChanges(t *testing.T) {
	root := t.TempDir()
	b := &Builder{root: root, cache: t.TempDir()}
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.test\n\ngo 1.26\n")
	write("main.go", "package main\n\nfunc main() {}\n")
	program := Program{Name: "thing", Module: ".", Package: ".", ThirdParty: true}

	first, err := b.Build(t.Context(), program)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.Build(t.Context(), program)
	if err != nil || again != first {
		t.Fatalf("second build: %s, %v; want %s", again, err, first)
	}
	if after, err := os.Stat(again); err != nil || !os.SameFile(before, after) {
		t.Errorf("the binary was built again (%v)", err)
	}

	write("main.go", "package main\n\nfunc main() { println() }\n")
	changed, err := b.Build(t.Context(), program)
	if err != nil {
		t.Fatal(err)
	}
	if changed == first {
		t.Error("a change of the source was not noticed")
	}
	if _, err := os.Stat(first); !os.IsNotExist(err) {
		t.Errorf("the old binary is still there (%v)", err)
	}

	write("main.go", "package main\n\nfunc main() { broken }\n")
	if _, err := b.Build(t.Context(), program); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("the error of a failed build does not contain the reason: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(b.cache, ".*"))
	if len(left) > 0 {
		t.Errorf("remaining temporary files: %q", left)
	}
}
