package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"egress.scw/hack/local/environment"
	"egress.scw/hack/local/programs"
	"egress.scw/hack/test/transcript"
)

const quickStart = "quickstart.md"

// quickStartParts returns the blocks of the way in the local environment, and those of
// the way on Kapsule.
func quickStartParts(t *testing.T) (local, kapsule []transcript.Step) {
	t.Helper()
	page := readPage(t, quickStart)
	before, behind, found := strings.Cut(page, "\n## On Kapsule\n")
	if !found {
		t.Fatalf("docs/%s has no part On Kapsule", quickStart)
	}
	return stepsOf(t, quickStart, before), stepsOf(t, quickStart, afterLines(before+"\n\n", behind))
}

// afterLines returns the text with so many empty lines before it, so that its lines have
// the numbers of the page.
func afterLines(before, text string) string {
	return strings.Repeat("\n", strings.Count(before, "\n")) + text
}

// The blocks of the quick start work in the local environment, but the first, which
// starts it. The second sets the variables of the shell in which the others run.
func TestQuickStart(t *testing.T) {
	requireEnvironment(t)
	steps, _ := quickStartParts(t)
	if !strings.HasPrefix(steps[0].Script, "make demo ") || !strings.Contains(steps[1].Script, "export PATH=") {
		t.Fatalf("docs/%s: the first blocks are\n%s\n%s\nwant make demo, and the variables of the shell", quickStart, steps[0].Script, steps[1].Script)
	}
	variables, steps := steps[1].Script, steps[2:]
	// The audit log has the requests of other tests, before this position.
	_, position, err := shared.Audit(0)
	if err != nil {
		t.Fatal(err)
	}
	logs := 0
	for i := range steps {
		logs += strings.Count(steps[i].Script, shared.AuditLog())
		script := strings.ReplaceAll(steps[i].Script, shared.AuditLog(), "audit.log")
		steps[i].Script = fmt.Sprintf("%stail -c +%d %s > audit.log 2>/dev/null || :\n%s", variables, position+1, shared.AuditLog(), script)
	}
	if logs == 0 {
		t.Errorf("docs/%s does not name %s", quickStart, shared.AuditLog())
	}
	keepTenant(t, "client-a")
	t.Cleanup(func() { removeObjects(t, "namespace/orders") })
	t.Cleanup(func() {
		if err := environment.StopPrometheus(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	// Another test may have just restarted the machine.
	do(t, "wait", "egresstenants", "--all", "--for=condition=Ready", "--timeout=300s")
	runSteps(t, quickStart, quickStartShell(t), steps)
}

// quickStartShell is a shell in a folder like the checkout after make build, on a machine
// without kubectl.
func quickStartShell(t *testing.T) transcript.Shell {
	t.Helper()
	shell := pageShell(t, nil)
	linkPrograms(t, filepath.Join(shell.Dir, "bin"), map[string]string{
		"kubectl-egress": buildProgram(t, programs.KubectlEgress()), "bootstrap": buildProgram(t, programs.Bootstrap()),
		"local": buildProgram(t, programs.Local()),
	})
	linkPrograms(t, shell.Dir, map[string]string{
		"charts": filepath.Join(shared.Repository, "charts"), ".env.example": filepath.Join(shared.Repository, ".env.example"),
		"docs": filepath.Join(shared.Repository, "docs"), "go.mod": filepath.Join(shared.Repository, "go.mod"),
	})
	linkPrograms(t, filepath.Join(shell.Dir, "bootstrap"), map[string]string{
		"egress.example.yaml": filepath.Join(shared.Repository, "bootstrap", "egress.example.yaml"),
	})
	return shell
}

// keepTenant restores, at the end of the test, a tenant that a page changes: in the
// environment's egress.yaml, on the proxy, and in the cluster.
func keepTenant(t *testing.T, name string) {
	t.Helper()
	config, err := os.ReadFile(shared.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, "wait", "egresstenant/"+name, "--for=condition=Ready", "--timeout=300s") })
	t.Cleanup(func() {
		if err := os.WriteFile(shared.ConfigFile(), config, 0o644); err != nil {
			t.Error(err)
		}
		apply(t, shared.ConfigFile())
	})
	object := takeChartObject(t, "", "egresstenant", name)
	t.Cleanup(func() { object.dropManager(t, "kubectl") })
}

// The commands of the way on Kapsule can be read by the programs that they name.
func TestQuickStartOnKapsule(t *testing.T) {
	requireEnvironment(t)
	_, steps := quickStartParts(t)
	shell := quickStartShell(t)
	linkPrograms(t, filepath.Join(shell.Dir, "bin"), map[string]string{"kubectl": shared.Cluster.Binary})
	shell.Env = append(shell.Env, "PATH="+filepath.Join(shell.Dir, "bin")+":"+os.Getenv("PATH"))
	read := 0
	for _, step := range steps {
		for _, command := range commandsOf(step.Script) {
			switch program, _, _ := strings.Cut(command, " "); program {
			case "bootstrap", "kubectl":
				read++
				requireRead(t, shell, step.Line, command)
			case "make", "cp", "export", "set", "helm", "docker", "ssh":
			default:
				t.Errorf("docs/%s:%d: the test does not know the program of %q", quickStart, step.Line, command)
			}
		}
	}
	if read < 10 {
		t.Errorf("%d commands read: the test searches in the wrong way", read)
	}
}

// commandsOf returns the commands of a script, without comments, variables of their own
// and redirections.
func commandsOf(script string) []string {
	var commands []string
	for line := range strings.Lines(strings.ReplaceAll(script, "\\\n", " ")) {
		line, _, _ = strings.Cut(line, " #")
		for command := range strings.SplitSeq(line, "|") {
			command, _, _ = strings.Cut(command, " > ")
			if command = strings.TrimSpace(command); command != "" {
				commands = append(commands, command)
			}
		}
	}
	return commands
}

// requireRead lets a program read its arguments, and print its help instead of working.
func requireRead(t *testing.T, shell transcript.Shell, line int, command string) {
	t.Helper()
	own, rest, _ := strings.Cut(command, " -- ")
	script := own + " --help"
	if rest != "" {
		script += " -- " + rest
	}
	output, err := shell.Run(t.Context(), transcript.Step{Line: line, Script: script + "\n"})
	if err != nil || !strings.Contains(output, "Usage:") {
		t.Errorf("docs/%s: %s: %v\n%s", quickStart, command, err, output)
	}
}
