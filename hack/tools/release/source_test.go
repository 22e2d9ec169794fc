package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]string{
		"0.1.0": "0.1.0", "v0.1.0": "0.1.0", "1.2.3-rc.1": "1.2.3-rc.1",
		"": "", "1": "", "0.1": "", "latest": "", "01.2.3": "", "1.2.3+build": "", "0.1.0" + " ": "",
	} {
		got, err := parseVersion(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
}

// Without VERSION, the version is that of the one tag of a clean checkout.
func TestVersionOfTag(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=test", "-c", "user.email=test@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	fails := func(version, want string) {
		t.Helper()
		if _, err := readSource(t.Context(), dir, version); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("version %q: got %v, want an error with %q", version, err, want)
		}
	}
	fails("0.1.0", "not a git repository")
	run("init", "--quiet")
	run("commit", "--quiet", "--allow-empty", "--message=first")
	fails("", "has no version tag")
	run("tag", "other")
	fails("", "has no version tag")
	run("tag", "v0.1.0")

	s, err := readSource(t.Context(), dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC); s.Version != "0.1.0" || !s.Time.Equal(want) || len(s.Revision) != 40 {
		t.Errorf("got %+v, want version 0.1.0 of %s", s, want)
	}
	run("tag", "v0.2.0")
	fails("", "several version tags: v0.1.0, v0.2.0")
	if s, err = readSource(t.Context(), dir, "0.2.0"); err != nil || s.Version != "0.2.0" {
		t.Errorf("got %+v, %v", s, err)
	}
	run("tag", "--delete", "v0.2.0")
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fails("", "changes that are not committed")
	if s, err = readSource(t.Context(), dir, "0.3.0"); err != nil || !strings.HasSuffix(s.Revision, "-dirty") {
		t.Errorf("got %+v, %v, want a revision that ends with -dirty", s, err)
	}
}
