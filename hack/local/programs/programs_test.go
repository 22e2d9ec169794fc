package programs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
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

// thing is the program of a testCheckout.
func thing(thirdParty bool) Program {
	return Program{Name: "thing", Module: ".", Package: "./program", ThirdParty: thirdParty}
}

// newCheckout is a builder with a checkout of its own, which contains a program that
// prints a word.
func newCheckout(t *testing.T, cache, word string) *Builder {
	t.Helper()
	b := &Builder{root: t.TempDir(), cache: cache}
	writeSource(t, b, "go.mod", "module example.test\n\ngo 1.26\n")
	writeProgram(t, b, word)
	return b
}

func writeProgram(t *testing.T, b *Builder, word string) {
	t.Helper()
	writeSource(t, b, "program/main.go", fmt.Sprintf("package main\n\nfunc main() { print(%q) }\n", word))
}

func writeSource(t *testing.T, b *Builder, name, content string) {
	t.Helper()
	path := filepath.Join(b.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		t.Fatal(err)
	}
}

func build(t *testing.T, b *Builder, p Program) (path string) {
	t.Helper()
	path, err := b.Build(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func requirePrints(t *testing.T, path, word string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), path).CombinedOutput(); err != nil || string(out) != word {
		t.Errorf("%s prints %q (%v); want %q", filepath.Base(path), out, err, word)
	}
}

// setUnused makes a version look as if it was last used that long ago.
func setUnused(t *testing.T, path string, since time.Duration) {
	t.Helper()
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-since)); err != nil {
		t.Fatal(err)
	}
}

func requireExists(t *testing.T, path string, want bool) {
	t.Helper()
	if _, err := os.Stat(path); (err == nil) != want {
		t.Errorf("%s exists: %t; want %t", filepath.Base(path), err == nil, want)
	}
}

// A run of the tests continues with its programs while another checkout, or a later
// state of its own, is built.
func TestVersionsStayBesideEachOther(t *testing.T) {
	for _, thirdParty := range []bool{false, true} {
		t.Run(fmt.Sprintf("third party %t", thirdParty), func(t *testing.T) {
			cache := t.TempDir()
			one, two := newCheckout(t, cache, "one"), newCheckout(t, cache, "two")
			first, second := build(t, one, thing(thirdParty)), build(t, two, thing(thirdParty))
			writeProgram(t, one, "later")
			later := build(t, one, thing(thirdParty))

			requirePrints(t, first, "one")
			requirePrints(t, second, "two")
			requirePrints(t, later, "later")
			if again := build(t, two, thing(thirdParty)); again != second {
				t.Errorf("the second build of an unchanged checkout is %s, the first was %s", again, second)
			}
		})
	}
}

// Builds of two checkouts at the same time give each its own program, whole.
func TestBuildsAtTheSameTime(t *testing.T) {
	cache := t.TempDir()
	var group errgroup.Group
	for _, word := range []string{"one", "two"} {
		b := newCheckout(t, cache, word)
		for range 3 {
			group.Go(func() error {
				path, err := b.Build(t.Context(), thing(false))
				if err != nil {
					return err
				}
				if out, err := exec.CommandContext(t.Context(), path).CombinedOutput(); err != nil || string(out) != word {
					return fmt.Errorf("prints %q (%w); want %q", out, err, word)
				}
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// Programs of several modules and kinds are built in one call, each at its own path.
func TestBuildAll(t *testing.T) {
	b := newCheckout(t, t.TempDir(), "one")
	writeSource(t, b, "second/main.go", "package main\n\nfunc main() { print(\"two\") }\n")
	writeSource(t, b, "module/go.mod", "module other.test\n\ngo 1.26\n")
	writeSource(t, b, "module/third/main.go", "package main\n\nfunc main() { print(\"three\") }\n")
	third := Program{Name: "third", Module: "module", Package: "./third"}
	foreign := Program{Name: "foreign", Module: "module", Package: "./third", ThirdParty: true}
	paths, err := b.BuildAll(t.Context(), thing(false), Program{Name: "second", Module: ".", Package: "./second"}, foreign, third)
	if err != nil {
		t.Fatal(err)
	}
	for name, word := range map[string]string{"thing": "one", "second": "two", "third": "three", "foreign": "three"} {
		requirePrints(t, paths[name], word)
	}
	if again := build(t, b, third); again != paths["third"] {
		t.Errorf("built alone it is %s; want %s", again, paths["third"])
	}
	writeSource(t, b, "second/main.go", "package main\n\nfunc main() { broken }\n")
	if _, err := b.BuildAll(t.Context(), thing(false), Program{Name: "second", Module: ".", Package: "./second"}); err == nil || !strings.Contains(err.Error(), "broken") {
		t.Errorf("the error of a failed build does not contain the reason: %v", err)
	}
}

// Versions that are not used any more are removed: a Kubernetes binary has 160 MB.
func TestUnusedVersionsAreRemoved(t *testing.T) {
	for name, test := range map[string]struct {
		thirdParty bool
		keep       time.Duration
	}{
		"own":         {false, keepOwn},
		"third party": {true, keepThirdParty},
	} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			b := newCheckout(t, cache, "used")
			used := build(t, b, thing(test.thirdParty))
			setUnused(t, used, test.keep-time.Hour)
			writeProgram(t, b, "unused")
			unused := build(t, b, thing(test.thirdParty))
			setUnused(t, unused, test.keep+time.Hour)
			other := filepath.Join(cache, "thing-other-"+strings.Repeat("0", hashLength))
			killed := filepath.Join(cache, ".thing-123")
			for _, path := range []string{other, killed} {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				setUnused(t, path, test.keep+time.Hour)
			}

			writeProgram(t, b, "new")
			build(t, b, thing(test.thirdParty))
			requireExists(t, used, true)
			requireExists(t, unused, false)
			requireExists(t, other, true)
			requireExists(t, killed, false)
		})
	}
}

// A build uses its version, although it makes none.
func TestBuildMarksItsVersionAsUsed(t *testing.T) {
	for _, thirdParty := range []bool{false, true} {
		b := newCheckout(t, t.TempDir(), "thing")
		path := build(t, b, thing(thirdParty))
		setUnused(t, path, 2*keepThirdParty)
		build(t, b, thing(thirdParty))
		if info, err := os.Stat(path); err != nil || time.Since(info.ModTime()) > keepOwn/2 {
			t.Errorf("third party %t: %v, %v", thirdParty, info, err)
		}
	}
}

// The programs of an environment that runs for weeks stay.
func TestRunningVersionsStay(t *testing.T) {
	b := newCheckout(t, t.TempDir(), "")
	writeSource(t, b, "program/main.go", `package main

import "os"

func main() { os.Stdin.Read(make([]byte, 1)) }
`)
	running := build(t, b, thing(false))
	cmd := exec.CommandContext(t.Context(), running)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	setUnused(t, running, 2*keepThirdParty)
	writeProgram(t, b, "second")
	build(t, b, thing(false))
	requireExists(t, running, true)

	if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	writeProgram(t, b, "third")
	build(t, b, thing(false))
	requireExists(t, running, false)
}

// The product's programs are built before each run, and linking takes longer than
// all else if nothing changed. Go compares the build ID only, so bytes behind the
// binary show whether it was linked.
func TestBuildLinksOnlyWhatChanged(t *testing.T) {
	b := newCheckout(t, t.TempDir(), "thing")
	const mark = "behind the binary"
	isMarked := func(path string) bool {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.HasSuffix(string(content), mark)
	}
	path := build(t, b, thing(false))
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(content, mark...), 0o700); err != nil {
		t.Fatal(err)
	}
	again := build(t, b, thing(false))
	if !isMarked(again) {
		t.Error("a binary was linked again although nothing changed")
	}
	requirePrints(t, again, "thing")
	writeProgram(t, b, "changed")
	if isMarked(build(t, b, thing(false))) {
		t.Error("a changed program was not linked again")
	}
}

func TestBuildKeepsThirdPartyProgramsUntilTheirModuleChanges(t *testing.T) {
	b := newCheckout(t, t.TempDir(), "thing")
	first := build(t, b, thing(true))
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	again := build(t, b, thing(true))
	if after, err := os.Stat(again); err != nil || again != first || !os.SameFile(before, after) {
		t.Errorf("the binary was built again: %s, %v; want %s", again, err, first)
	}
	writeProgram(t, b, "changed")
	if build(t, b, thing(true)) == first {
		t.Error("a change of the source was not noticed")
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	for _, thirdParty := range []bool{false, true} {
		b := newCheckout(t, t.TempDir(), "thing")
		writeSource(t, b, "program/main.go", "package main\n\nfunc main() { broken }\n")
		if _, err := b.Build(t.Context(), thing(thirdParty)); err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("the error of a failed build does not contain the reason: %v", err)
		}
		if left, err := filepath.Glob(filepath.Join(b.cache, "*thing*")); err != nil || len(left) > 0 {
			t.Errorf("remaining files: %q, %v", left, err)
		}
	}
}
