package transcript_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/hack/test/transcript"
)

func TestRead(t *testing.T) {
	page := strings.Join([]string{
		"# Title", "```sh", "one", "two", "```", "", "```text", "its output", "```", "", "prose", "  ```yaml", "  a: b", "  ```",
		"```sh", "three", "```", "prose between", "```", "no language", "```", "",
	}, "\n")
	got, err := transcript.Read(page)
	if err != nil {
		t.Fatal(err)
	}
	want := []transcript.Step{{Line: 3, Script: "one\ntwo\n", Shown: []string{"its output"}}, {Line: 16, Script: "three\n"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("-want +got\n" + diff)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, test := range map[string]struct{ page, want string }{
		"a block without an end":       {"```sh\none\n", "line 1: the block does not end"},
		"an output without commands":   {"prose\n```text\nwords\n```\n", "line 2: the block text follows no block sh"},
		"a second output":              {"```sh\none\n```\n```text\na\n```\n```text\nb\n```\n", "line 7: the block text follows no block sh"},
		"an output behind other words": {"```sh\none\n```\nprose\n```text\na\n```\n", "line 5: the block text follows no block sh"},
		"an empty block":               {"```sh\n```\n", "line 1: the block sh is indented or empty"},
		"a block in a list":            {"- item\n\n  ```sh\n  one\n  ```\n", "line 3: the block sh is indented or empty"},
	} {
		steps, err := transcript.Read(test.page)
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, %v; want the error %q", name, steps, err, test.want)
		}
	}
}

func TestCheck(t *testing.T) {
	const output = "NAME       READY   AGE\nweb-7d4b9   1/1     2m\n\x1b[32mready\x1b[0m [1.2] \nlast line\n"
	for name, test := range map[string]struct {
		shown  []string
		passes bool
	}{
		"no output on the page":          {nil, true},
		"the same lines":                 {[]string{"NAME READY AGE", "web-7d4b9  1/1  2m", "ready [1.2]", "last line"}, true},
		"some of the lines":              {[]string{"NAME READY AGE", "last line"}, true},
		"parts that vary":                {[]string{"web-… 1/1 …", "…", "… line"}, true},
		"a part of a line":               {[]string{"NAME READY"}, false},
		"another order":                  {[]string{"last line", "NAME READY AGE"}, false},
		"a line twice":                   {[]string{"last line", "last line"}, false},
		"a line that is missing":         {[]string{"web-… 0/1 …"}, false},
		"signs of regular expressions":   {[]string{"ready [1x2]"}, false},
		"a part that varies in the name": {[]string{"api-… 1/1 2m"}, false},
	} {
		if err := (transcript.Step{Line: 3, Shown: test.shown}).Check(output); (err == nil) != test.passes {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each block of a page whose commands the end-to-end tests run is a step in the syntax of
// a POSIX shell.
func TestPagesCanBeRead(t *testing.T) {
	for name, least := range map[string]int{"cookbook.md": 30, "quickstart.md": 12} {
		page, err := os.ReadFile("../../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := transcript.Read(string(page))
		if err != nil {
			t.Fatal(name, err)
		}
		shown := 0
		for _, step := range steps {
			if len(step.Shown) > 0 {
				shown++
			}
			requireSyntax(t, step)
		}
		if len(steps) < least || shown < len(steps)/2 {
			t.Errorf("%s has %d blocks of commands, of which %d show their output: the test searches in the wrong way", name, len(steps), shown)
		}
	}
}
