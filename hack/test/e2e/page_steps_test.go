package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"egress.scw/hack/local/programs"
	"egress.scw/hack/test/transcript"
)

// pageTimeout bounds a block of a page. Most take seconds, kubectl egress verify up to
// its own five minutes.
const pageTimeout = 8 * time.Minute

// pageShell is a shell with these programs, by name, in the first folder of PATH. Its
// working folder and its home are empty. It has no environment of the user: the cluster
// is on this machine, and is reached without a proxy.
func pageShell(t *testing.T, links map[string]string, env ...string) transcript.Shell {
	t.Helper()
	bin, home := t.TempDir(), t.TempDir()
	linkPrograms(t, bin, links)
	return transcript.Shell{
		Dir: t.TempDir(), Timeout: pageTimeout,
		Env: append([]string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + home, "TERM=dumb", "NO_PROXY=*", "no_proxy=*"}, env...),
	}
}

// linkPrograms makes a link for each name to its program.
func linkPrograms(t *testing.T, folder string, links map[string]string) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, program := range links {
		if err := os.Symlink(program, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// buildProgram builds a program of the product, and returns its path.
func buildProgram(t *testing.T, program programs.Program) string {
	t.Helper()
	builder, err := programs.New()
	if err != nil {
		t.Fatal(err)
	}
	binary, err := builder.Build(t.Context(), program)
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// readPage returns a page of the documentation.
func readPage(t *testing.T, name string) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(shared.Repository, "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// stepsOf returns the blocks of a page.
func stepsOf(t *testing.T, name, page string) []transcript.Step {
	t.Helper()
	steps, err := transcript.Read(page)
	if err != nil {
		t.Fatalf("docs/%s: %v", name, err)
	}
	return steps
}

// runSteps runs blocks of a page in their order. Each has to work, and to print the
// lines that the page shows behind it. Blocks that only read are repeated, as a reader
// does: a controller that gets no CPU shows a change later.
func runSteps(t *testing.T, name string, shell transcript.Shell, steps []transcript.Step) {
	t.Helper()
	for _, step := range steps {
		begin := time.Now()
		err := runStep(t, shell, step)
		for readsOnly(step.Script) && err != nil && time.Since(begin) < readPatience {
			t.Logf("docs/%s: repeated because of: %v", name, err)
			time.Sleep(time.Second)
			err = runStep(t, shell, step)
		}
		t.Logf("docs/%s:%d: %s", name, step.Line, time.Since(begin).Round(time.Millisecond))
		if err != nil {
			t.Fatalf("docs/%s: %v", name, err) // later blocks depend on this one
		}
	}
}

// readPatience bounds the time in which a block is repeated.
const readPatience = 2 * time.Minute

func runStep(t *testing.T, shell transcript.Shell, step transcript.Step) error {
	t.Helper()
	output, err := shell.Run(t.Context(), step)
	if err != nil {
		return err
	}
	return step.Check(output)
}

// changing are the commands of the pages that change the cluster, the proxy or files.
var changing = regexp.MustCompile(`\b(annotate|apply|cp|create|debug|delete|diff|expose|label|mkdir|patch|port-forward|prometheus|restart|run|scale|sed|set|set-context|undo|use-context)\b`)

// readsOnly reports whether a block of a page changes nothing.
func readsOnly(script string) bool { return !changing.MatchString(script) }
