package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gotest.tools/v3/golden"
)

const auditLog = `{"time":"2026-11-25T09:42:59.621Z","tenant":"client-a","port":"3129","client":"172.16.28.16","method":"CONNECT","host":"api.github.com","hostPort":"443","status":200,"verdict":"allowed","rule":"-","sni":"api.github.com","result":"TCP_TUNNEL/HIER_DIRECT","error":"-","server":"140.82.121.6","egress":"203.0.113.50","bytesReceived":1641,"bytesSent":2645,"durationMillis":8}
{"time":"2026-11-25T09:43:01.002Z","tenant":"client-b","port":"3130","client":"172.16.28.16","method":"GET","host":"example.org","hostPort":"80","status":200,"verdict":"allowed","rule":"-","sni":"-","result":"TCP_MISS/HIER_DIRECT","error":"-","server":"198.51.100.1","egress":"203.0.113.51","bytesReceived":120,"bytesSent":20645,"durationMillis":80}
<134>1 2026-11-25T09:43:02.000Z production-proxy egress-audit - - - {"time":"2026-11-25T09:43:02.000Z","tenant":"client-a","port":"3129","client":"172.16.28.17","method":"CONNECT","host":"one.example.com","hostPort":"443","status":403,"verdict":"denied","rule":"domain","sni":"-","result":"TCP_DENIED/HIER_NONE","error":"ERR_ACCESS_DENIED","server":"-","egress":"-","bytesReceived":90,"bytesSent":3100,"durationMillis":0}
{"time":"2026-11-25T09:43:03.500Z","tenant":"client-a","port":"3129","client":"172.16.28.17","method":"CONNECT","host":"two.example.com","hostPort":"443","status":200,"verdict":"terminated","rule":"sni","sni":"hidden.example.net","result":"TCP_TUNNEL/HIER_NONE","error":"-","server":"-","egress":"-","bytesReceived":90,"bytesSent":39,"durationMillis":1500}
this is no audit line
`

func TestLogs(t *testing.T) {
	for file, args := range map[string][]string{
		"logs.golden.txt":        {},
		"logs-wide.golden.txt":   {"-o", "wide"},
		"logs-json.golden.txt":   {"-o", "json", "--host", ".example.com"},
		"logs-denied.golden.txt": {"--verdict", "denied,terminated", "--rule", "domain"},
	} {
		out, err := runWithInput(t, nil, auditLog, append([]string{"logs", "client-a"}, args...)...)
		if err != nil {
			t.Errorf("%v: %v", args, err)
			continue
		}
		golden.Assert(t, out, file)
	}
	if out, err := runWithInput(t, nil, auditLog, "logs", "client-a", "--since", "1h"); err != nil || out != "" {
		t.Errorf("of the last hour: %v\n%s", err, out)
	}
	_, err := runCommand(t, nil, "logs", "client-a", "--verdict", "bad", "--host", "*.x", "--since=-1s")
	for _, want := range []string{"--verdict", "--host", "--since"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	tenants := writeFile(t, "egress.yaml", egressYAML)
	out, err := runWithInput(t, nil, auditLog, "suggest", "client-a", "--denied", "--fold", "--tenants", tenants)
	if err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, out, "suggest.golden.yaml")
	if _, err := runWithInput(t, nil, "x\n", "suggest", "client-a", "--tenants", tenants); codeOf(err) != exitFailed || !strings.Contains(err.Error(), "1 malformed") {
		t.Errorf("without requests: %v", err)
	}
	if _, err := runWithInput(t, nil, "", "suggest", "client-a", "--least", "0", "--tenants", tenants); codeOf(err) != exitFailed {
		t.Errorf("--least 0: %v", err)
	}
}

// compressed returns a text as gzip writes it, in two parts, as concatenated files are.
func compressed(t *testing.T, text string) string {
	t.Helper()
	var all bytes.Buffer
	for _, part := range []string{text[:100], text[100:]} {
		writer := gzip.NewWriter(&all)
		_, err := writer.Write([]byte(part))
		if err := errors.Join(err, writer.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// Rotated files are read as the proxy compresses them, from the standard input, too. One
// that is cut off is named, and the lines before that are printed. It is not followed.
func TestCompressedLogs(t *testing.T) {
	whole := compressed(t, auditLog)
	tenants := writeFile(t, "egress.yaml", egressYAML)
	file, cut := writeFile(t, "audit.log-20261128.gz", whole), writeFile(t, "cut.gz", whole[:len(whole)-20])
	for _, command := range [][]string{{"logs", "client-a"}, {"suggest", "client-a", "--tenants", tenants}} {
		want, err := runWithInput(t, nil, auditLog, command...)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := runCommand(t, nil, append(slices.Clone(command), file)...); err != nil || got != want {
			t.Errorf("%v of a file: %v\n%s", command, err, got)
		}
		if got, err := runWithInput(t, nil, whole, command...); err != nil || got != want {
			t.Errorf("%v of the standard input: %v\n%s", command, err, got)
		}
		_, err = runCommand(t, nil, append(slices.Clone(command), cut)...)
		if codeOf(err) != exitFailed || !strings.Contains(err.Error(), cut+": the compressed file is cut off") {
			t.Errorf("%v of a file that is cut off: %v", command, err)
		}
	}
	if _, err := runCommand(t, nil, "logs", "client-a", "--follow", file); codeOf(err) != exitFailed || !strings.Contains(err.Error(), file+" is compressed") {
		t.Errorf("--follow: %v", err)
	}
}

// buffer is written and read by different goroutines.
type buffer struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(data []byte) (int, error) {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.text.Write(data)
}

func (b *buffer) lines() int {
	b.lock.Lock()
	defer b.lock.Unlock()
	return strings.Count(b.text.String(), "\n")
}

// A file is read on as it grows, after a rotation, and after it was truncated.
func TestLogsFollowAFile(t *testing.T) {
	file := writeFile(t, "audit.log", auditLog)
	line := auditLog[:strings.IndexByte(auditLog, '\n')+1]
	ctx, cancel := context.WithCancel(t.Context())
	var out buffer
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, environment{args: []string{"logs", "client-a", "--follow", file}, stdout: &out, stderr: &bytes.Buffer{}, getenv: func(string) string { return "" }})
	}()
	wait := func(lines int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); out.lines() != lines; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d lines, want %d", out.lines(), lines)
			}
		}
	}
	add := func(text string) {
		t.Helper()
		opened, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = opened.WriteString(text)
		}
		if err == nil {
			err = opened.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	wait(3)
	add(line[:50]) // a line that is being written
	add(line[50:])
	wait(4)
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	add(line)
	wait(5)
	add(line)
	wait(6)
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	add(line) // the file is still shorter than what was read
	wait(7)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
