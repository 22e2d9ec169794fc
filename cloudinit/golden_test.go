package cloudinit

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gotest.tools/v3/golden"
	"sigs.k8s.io/yaml"
)

// wholeCase is the Machine whose user data are a golden file. The golden files of
// the others contain only their differences from it.
const wholeCase = "flexible-ip"

// TestRenderGolden: a file testdata/NAME.yaml is a Machine. The user data that Render
// returns are compared with the golden file, those of the other machines by their
// differences from the user data of wholeCase.
func TestRenderGolden(t *testing.T) {
	machines := casesIn(t)
	goldens := []string{}
	for name, machine := range machines {
		file := name + ".golden.diff"
		if name == wholeCase {
			file = name + ".golden.yaml"
		}
		goldens = append(goldens, filepath.Join("testdata", file))
		t.Run(name, func(t *testing.T) {
			got := rendered(t, machine)
			if !bytes.Equal(rendered(t, machine), got) {
				t.Error("rendering it again gives something else")
			}
			if name != wholeCase {
				got = difference(t, machines[wholeCase], machine)
			}
			golden.Assert(t, string(got), file)
		})
	}

	files, err := filepath.Glob("testdata/*.golden.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.Contains(goldens, file) {
			t.Errorf("%s is stale: there is no case of this name", file)
		}
	}
}

// The user data is that of a cloudConfig with all files, encoded at once.
func TestFilesAreEncodedOneByOne(t *testing.T) {
	t.Parallel()
	for name, machine := range casesIn(t) {
		got := rendered(t, machine)
		var config cloudConfig
		if err := yaml.UnmarshalStrict(got, &config); err != nil {
			t.Fatal(err)
		}
		want, err := yaml.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff("#cloud-config\n"+string(want), string(got)); diff != "" {
			t.Errorf("%s: -at once +one by one\n%s", name, diff)
		}
	}
}

func rendered(t *testing.T, machine Machine) []byte {
	t.Helper()
	userData, err := Render(machine)
	if err != nil {
		t.Fatal(err)
	}
	return userData
}

// difference returns the differences of two machines' user data as "diff" prints
// them, file by file: "cloud-config" is the rest of the user data with the list of
// files and their permissions, all others are files on the machine.
func difference(t *testing.T, from, to Machine) []byte {
	t.Helper()
	folder := t.TempDir()
	writeTree(t, filepath.Join(folder, "from"), from)
	writeTree(t, filepath.Join(folder, "to"), to)
	command := exec.CommandContext(t.Context(), "diff", "--recursive", "--new-file", "--unified=0", "from", "to")
	command.Dir = folder
	output, err := command.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
		t.Fatalf("diff ends with %v, although the user data must differ", err)
	}
	// The two lines below the line of the command contain the time. Line numbers would
	// change with every line above.
	header := regexp.MustCompile(`(?m)^diff .* to/(.*)\n--- .*\n\+\+\+ .*\n`)
	output = header.ReplaceAll(output, []byte("\n$1\n"))
	return regexp.MustCompile(`(?m)^@@ .* @@$`).ReplaceAll(output, []byte("@@"))
}

// writeTree writes a machine's user data as files into a folder.
func writeTree(t *testing.T, folder string, machine Machine) {
	t.Helper()
	config := render(t, machine)
	contents := map[string]string{}
	for i := range config.Files {
		file := &config.Files[i]
		contents[file.Path], file.Content = file.Content, ""
	}
	rest, err := yaml.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	contents["cloud-config"] = string(rest)
	for name, content := range contents {
		file := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// casesIn returns the machines in testdata by the names of their files.
func casesIn(t *testing.T) map[string]Machine {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(file string) bool { return strings.HasSuffix(file, ".golden.yaml") })
	if len(files) == 0 {
		t.Fatal("no cases in testdata")
	}
	result := map[string]Machine{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var machine Machine
		if err := yaml.UnmarshalStrict(text, &machine); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		result[strings.TrimSuffix(filepath.Base(file), ".yaml")] = machine
	}
	return result
}
