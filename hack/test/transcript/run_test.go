package transcript_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"egress.scw/hack/test/transcript"
)

// requireSyntax lets the shell read the step without running it.
func requireSyntax(t *testing.T, step transcript.Step) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "sh", "-n", "-c", step.Script).CombinedOutput(); err != nil {
		t.Errorf("line %d: %v: %s\n%s", step.Line, err, out, step.Script)
	}
}

func newShell(t *testing.T) transcript.Shell {
	t.Helper()
	return transcript.Shell{Dir: t.TempDir(), Env: []string{"PATH=/usr/bin:/bin", "WORD=hello"}, Timeout: time.Minute}
}

func TestRun(t *testing.T) {
	shell := newShell(t)
	for _, step := range []transcript.Step{
		{Line: 1, Script: "echo \"$WORD\"; echo error >&2; echo written > file\n", Shown: []string{"hello", "error"}},
		{Line: 9, Script: "cat file\nfalse || echo \"exit code $?\"\n", Shown: []string{"written", "exit code 1"}},
		{Line: 20, Script: "alias say='echo said'\nsay it\n", Shown: []string{"said it"}},
	} {
		output, err := shell.Run(t.Context(), step)
		if err != nil {
			t.Error(err)
		}
		if err := step.Check(output); err != nil {
			t.Error(err)
		}
	}
}

// Every command counts, not only the last one.
func TestRunStopsAtAFailure(t *testing.T) {
	output, err := newShell(t).Run(t.Context(), transcript.Step{Line: 7, Script: "echo before\nfalse\necho after\n"})
	if err == nil || !strings.HasPrefix(err.Error(), "line 7: exit status 1") || !strings.Contains(err.Error(), "before") {
		t.Errorf("the error is %v", err)
	}
	if output != "before\n" {
		t.Errorf("the output is %q", output)
	}
}

// A program in the background neither keeps its step from ending nor outlives it.
func TestRunEndsTheBackground(t *testing.T) {
	shell := newShell(t)
	step := transcript.Step{Line: 1, Script: "while :; do echo beat >> beats; sleep 0.02; done &\nuntil [ -s beats ]; do sleep 0.02; done\necho started\n"}
	if output, err := shell.Run(t.Context(), step); err != nil || output != "started\n" {
		t.Errorf("%q, %v", output, err)
	}
	beats := func() int {
		content, err := os.ReadFile(filepath.Join(shell.Dir, "beats"))
		if err != nil {
			t.Fatal(err)
		}
		return len(content)
	}
	before := beats()
	time.Sleep(time.Second)
	if after := beats(); after > before+len("beat\n") { // a last one may have been under way
		t.Errorf("the program in the background has gone on: %d bytes, then %d", before, after)
	}
}

func TestRunEndsAfterTheTimeout(t *testing.T) {
	shell := newShell(t)
	shell.Timeout = 200 * time.Millisecond
	_, err := shell.Run(t.Context(), transcript.Step{Line: 4, Script: "echo begun\nsleep 60\n"})
	if err == nil || !strings.HasPrefix(err.Error(), "line 4: not ended after 200ms") {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newShell(t).Run(ctx, transcript.Step{Line: 4, Script: "echo begun\n"}); err == nil {
		t.Error("it runs although the context has ended")
	}
}
