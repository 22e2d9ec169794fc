// Package history_test looks for secrets in the whole history of the repository: a
// secret that was committed once stays readable after its deletion.
package history_test

import (
	"bufio"
	"errors"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pattern is a form of secrets. Its first group is the secret itself.
type pattern struct {
	name string
	// hint is in each line with such a secret, in any case: the expression takes a
	// hundred times as long to find that a line has none.
	hint       string
	expression *regexp.Regexp
}

func patterns() []pattern {
	const key = `["']?\s*[:=]+\s*["']?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b`
	return []pattern{
		{"access key of Scaleway", "scw", regexp.MustCompile(`\b(SCW[A-Z0-9]{17})\b`)},
		// A UUID is a secret key where something assigns it to such a name.
		{"secret key of Scaleway", "secret", regexp.MustCompile(`(?i)secret[_-]?key` + key)},
		{"secret key of Scaleway", "auth", regexp.MustCompile(`(?i)auth[_-]?token` + key)},
		{"private key", "private key", regexp.MustCompile(`(-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----)`)},
		// Kubeconfigs contain it in base64.
		{"private key", "ls0tls1crudjti", regexp.MustCompile(`\b(LS0tLS1CRUdJTi(?:BQUklWQVRFIEtFW|BSU0EgUFJJVkFURS|BFQyBQUklWQVRFIEtF))`)},
		{"token of GitHub", "gh", regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{36,})\b`)},
	}
}

// isExample reports whether a text that has the form of a secret is made up: it consists
// of few different characters, or contains words that no random text contains.
func isExample(secret string) bool {
	plain := strings.NewReplacer("-", "", "SCW", "").Replace(secret)
	const few = 6 // one of 10^9 random UUIDs has so few different digits
	different := map[rune]bool{}
	for _, r := range plain {
		different[r] = true
	}
	return len(different) <= few || slices.ContainsFunc([]string{"CANARY", "c0ffee", "LOCALENVIRONMENT"}, func(word string) bool {
		return strings.Contains(secret, word)
	})
}

// finding is a line of a commit with a secret.
type finding struct{ commit, file, pattern, line string }

// scan reads the output of git log --patch, and returns the secrets in added lines.
func scan(log io.Reader) ([]finding, error) {
	var found []finding
	var commit, file string
	lines, all := bufio.NewReader(log), patterns()
	for {
		line, err := lines.ReadString('\n')
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "commit "):
			commit, file = strings.TrimPrefix(line, "commit "), "the message"
		case strings.HasPrefix(line, "+++ "):
			file = strings.TrimPrefix(strings.TrimPrefix(line, "+++ "), "b/")
		case strings.HasPrefix(line, "+"), strings.HasPrefix(line, "    ") && file == "the message":
			found = append(found, secretsIn(all, commit, file, line)...)
		}
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return found, err
		}
	}
}

func secretsIn(all []pattern, commit, file, line string) []finding {
	var found []finding
	lower := strings.ToLower(line)
	for _, p := range all {
		if !strings.Contains(lower, p.hint) {
			continue
		}
		for _, match := range p.expression.FindAllStringSubmatch(line, -1) {
			made := strings.Contains(file, "testdata/") || strings.HasSuffix(file, "_test.go")
			if isExample(match[1]) || p.name == "private key" && made {
				continue
			}
			found = append(found, finding{commit, file, p.name, line})
		}
	}
	return found
}

// TestHistoryHasNoSecrets reads each commit that can be reached from HEAD.
func TestHistoryHasNoSecrets(t *testing.T) {
	t.Parallel()
	if err := exec.CommandContext(t.Context(), "git", "rev-parse", "--verify", "HEAD").Run(); err != nil {
		t.Skip("there is no history of git here, as in a source archive: ", err)
	}
	if shallow, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--is-shallow-repository").Output(); err != nil || string(shallow) != "false\n" {
		t.Errorf("this clone has only a part of the history: git fetch --unshallow (%s, %v)", strings.TrimSpace(string(shallow)), err)
	}
	cmd := exec.CommandContext(t.Context(), "git", "log", "--patch", "--unified=0", "--no-color", "--no-ext-diff", "--no-textconv",
		"--diff-merges=first-parent", "--src-prefix=a/", "--dst-prefix=b/", "--format=commit %H%n%w(0,4,4)%B", "HEAD", "--", ":/")
	var problems strings.Builder
	cmd.Stderr = &problems
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found, err := scan(output)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		t.Fatalf("git log: %v\n%s", err, problems.String())
	}
	for _, f := range found {
		t.Errorf("commit %s, %s: %s (%d characters): revoke it, and see SECURITY.md", f.commit, f.file, f.pattern, len(f.line))
	}
}

// TestIgnoredFiles requires that git ignores files with secrets, and those that a killed
// run leaves of them, and that it does not ignore their templates.
func TestIgnoredFiles(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]bool{
		".env": true, "prod.env": true, ".env.prod": true, "clusters/prod/prod.env": true, "..env1234567": true, "prod/.prod.env1234567": true,
		"kubeconfig.yaml": true, ".kubeconfig.yaml1234567": true, "tls.key": true,
		".env.example": false, "bootstrap/dev.env.tpl": false, "bootstrap/prod.env.tpl": false, "bootstrap/init_env.go": false,
	} {
		err := exec.CommandContext(t.Context(), "git", "check-ignore", "--quiet", "--no-index", "../../../"+file).Run()
		if failed, ok := errors.AsType[*exec.ExitError](err); ok && failed.ExitCode() > 1 {
			t.Skip("there is no git repository here, as in a source archive: ", err)
		}
		if ignored := err == nil; ignored != want {
			t.Errorf("%s: git ignores it: %t, want %t", file, ignored, want)
		}
	}
}

// TestScan requires that each form of secrets is found, and examples are not.
func TestScan(t *testing.T) {
	t.Parallel()
	access, secret := "SCW"+"M3B1AGJ6K9TNSJN2A", "7e9d1c42-03ba-4f58"+"-a6c7-19e8b2d05f34"
	for text, want := range map[string]int{
		"+SCW_ACCESS_KEY=" + access:                                       1,
		"+SCW_SECRET_KEY=" + secret:                                       1,
		`+  "secret_key": "` + secret + `",`:                              1,
		`+X-Auth-Token: ` + secret:                                        1,
		"+project: " + secret:                                             0,
		"-SCW_SECRET_KEY=" + secret:                                       0, // its addition is found
		"+SCW_ACCESS_KEY=SCWXXXXXXXXXXXXXXXXX":                            0,
		"+SECRET_KEY=11111111-1111-4111-8111-111111111111":                0,
		"+-----BEGIN " + "EC PRIVATE KEY-----":                            1,
		"+++ b/hack/testdata/key.pem\n+-----BEGIN " + "PRIVATE KEY-----":  0,
		"+client-key-data: LS0tLS1CRUdJTiBFQyBQ" + "UklWQVRFIEtFWS0tLS0t": 1,
		"+certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS":     0,
		"+token: ghp_" + strings.Repeat("aB3", 12):                        1,
	} {
		found, err := scan(strings.NewReader("commit 1\n\n    message\n\n+++ b/file\n" + text))
		if err != nil || len(found) != want {
			t.Errorf("%q: %v, want %d findings (%v)", text, found, want, err)
		}
	}
	found, err := scan(strings.NewReader("commit 1\n    " + access + "\n"))
	if err != nil || len(found) != 1 {
		t.Errorf("a message: %v (%v)", found, err)
	}
}
