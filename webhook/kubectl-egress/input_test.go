package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// An input without a line of the tenant is reported with the tenants that it has. logs
// then has a negative answer, and suggest none.
func TestInputWithoutTheTenant(t *testing.T) {
	tenants := writeFile(t, "egress.yaml", egressYAML+"---\n"+lonelyTenant)
	var crowd strings.Builder
	for i := range 30 {
		crowd.WriteString(strings.ReplaceAll(strings.SplitAfter(auditLog, "\n")[0], "client-a", fmt.Sprintf("client-%02d", i)))
	}
	const sentence = "no line of the input names the tenant client-x; tenants in it: "
	for name, test := range map[string]struct{ input, want string }{
		"two tenants":  {auditLog, sentence + "client-a, client-b"},
		"many tenants": {crowd.String(), sentence + "client-00, client-01, client-02, client-03, client-04, client-05, client-06, client-07, client-08, client-09 and others"},
		"no line":      {"", sentence + "none"},
	} {
		t.Run(name, func(t *testing.T) {
			out, notes, err := runForNotes(t, environment{args: []string{"logs", "client-x"}, stdin: strings.NewReader(test.input)})
			if codeOf(err) != exitNegative || out != "" || !strings.HasSuffix(notes, test.want+"\n") {
				t.Errorf("logs: %v, %q, %q; want %q", err, out, notes, test.want)
			}
			out, _, err = runForNotes(t, environment{args: []string{"suggest", "client-x", "--tenants", tenants}, stdin: strings.NewReader(test.input)})
			if codeOf(err) != exitFailed || out != "" || !strings.Contains(err.Error(), test.want) {
				t.Errorf("suggest: %v, %q; want %q", err, out, test.want)
			}
		})
	}
}

const lonelyTenant = `apiVersion: egress.scw/v1alpha1
kind: EgressTenant
metadata:
  name: client-x
spec:
  path: Proxy
  proxy:
    port: 3140
`

// Flags that select no line of the tenant are reported.
func TestFlagsThatSelectNoLine(t *testing.T) {
	_, notes, err := runForNotes(t, environment{args: []string{"logs", "client-a", "--since", "1h"}, stdin: strings.NewReader(auditLog)})
	if want := "the flags select none of the 3 lines of the tenant client-a\n"; err != nil || !strings.HasSuffix(notes, want) {
		t.Errorf("%v, %q; want %q", err, notes, want)
	}
}

// A user at a terminal is told that the standard input is read, and how to name a file.
// A pipe and a file need no hint.
func TestHintAtATerminal(t *testing.T) {
	file, tenants := writeFile(t, "audit.log", auditLog), writeFile(t, "egress.yaml", egressYAML)
	for _, command := range [][]string{{"logs", "client-a"}, {"suggest", "client-a", "--tenants", tenants}} {
		for name, test := range map[string]struct {
			files    []string
			terminal bool
			hint     bool
		}{
			"terminal": {nil, true, true}, "pipe": {nil, false, false}, "file": {[]string{file}, true, false}, "by name": {[]string{"-"}, true, false},
		} {
			_, notes, err := runForNotes(t, environment{
				args: append(append([]string{}, command...), test.files...), stdin: strings.NewReader(auditLog), inputTerminal: test.terminal,
			})
			want := fmt.Sprintf("standard input until its end (Ctrl-D). To read a file: kubectl egress %s client-a audit.log\n", command[0])
			if err != nil || strings.Contains(notes, want) != test.hint {
				t.Errorf("%s, %s: %v, %q", command[0], name, err, notes)
			}
		}
	}
}

// An interrupt ends a command that waits for its standard input.
func TestInterruptWhileReading(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	silent, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, environment{
			args: []string{"logs", "client-a"}, stdin: silent, stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" },
		})
	}()
	cancel()
	select {
	case err := <-done:
		if code := exitCode(ctx, io.Discard, err); code != exitInterrupted {
			t.Errorf("exit code %d, want %d: %v", code, exitInterrupted, err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the command still reads")
	}
}

// It also ends a command that reads a long file, whether or not lines are left to read.
func TestInterruptWhileReadingAFile(t *testing.T) {
	file, tenants := writeFile(t, "audit.log", strings.Repeat(auditLog, 1000)), writeFile(t, "egress.yaml", egressYAML)
	for _, args := range [][]string{
		{"logs", "client-a", file}, {"logs", "client-a", "--follow", file}, {"suggest", "client-a", "--tenants", tenants, file},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		out := &interrupting{cancel: cancel}
		if args[0] == "suggest" {
			cancel() // it prints nothing before the end
		}
		err := run(ctx, environment{args: args, stdout: out, stderr: io.Discard, getenv: func(string) string { return "" }})
		want := map[bool]int{false: exitInterrupted, true: exitDone}[args[2] == "--follow"]
		if code := exitCode(ctx, io.Discard, err); code != want || out.writes > 1 {
			t.Errorf("%v: exit code %d, want %d, after %d lines: %v", args[:3], code, want, out.writes, err)
		}
		cancel()
	}
}

// interrupting is an output whose first line interrupts the command.
type interrupting struct {
	cancel context.CancelFunc
	writes int
}

func (i *interrupting) Write(line []byte) (int, error) {
	i.writes++
	i.cancel()
	return len(line), nil
}

// A list that the API server would refuse is no proposal.
func TestSuggestProposesValidListsAlone(t *testing.T) {
	tenants := writeFile(t, "egress.yaml", egressYAML)
	var log strings.Builder
	for port := range 17 {
		log.WriteString(strings.ReplaceAll(strings.SplitAfter(auditLog, "\n")[0], `"hostPort":"443"`, fmt.Sprintf(`"hostPort":"%d"`, 8000+port)))
	}
	out, _, err := runForNotes(t, environment{args: []string{"suggest", "client-a", "--tenants", tenants}, stdin: strings.NewReader(log.String())})
	if codeOf(err) != exitFailed || out != "" || !strings.Contains(err.Error(), "spec.allow.ports") || !strings.Contains(err.Error(), "--least") {
		t.Errorf("%v, %q", err, out)
	}
}
