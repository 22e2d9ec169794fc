// Package modules_test compares the go.mod files of the repository with each other.
package modules_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// excepted go.mod files may have versions of their own.
var excepted = map[string]string{
	"hack/test/clients/programs/go/go.mod": "its versions are those of the clients that the documents list",
	"hack/tools/lint/go.mod":               "linters support the versions of their own go.mod only, and share few packages with the programs",
}

// Go compiles a package again for each set of versions of the packages that it
// imports. Where the go.mod files agree, an empty cache is filled once for all
// programs. Where one of them does not, Kubernetes' libraries are compiled once
// more, which costs minutes.
func TestModulesHaveOneVersion(t *testing.T) {
	repository := os.DirFS("../../..")
	var files []*modfile.File
	for _, name := range goModFiles(t, repository) {
		if _, ok := excepted[name]; !ok {
			files = append(files, parse(t, repository, name))
		}
	}
	if len(files) < 5 {
		t.Errorf("%d go.mod files are compared: the test looks at the wrong folder", len(files))
	}
	for _, difference := range differences(files) {
		t.Error(difference)
	}
}

func TestExceptionsExist(t *testing.T) {
	names := goModFiles(t, os.DirFS("../../.."))
	for name := range excepted {
		if !slices.Contains(names, name) {
			t.Errorf("%s is excepted and does not exist", name)
		}
	}
}

func TestDifferencesAreFound(t *testing.T) {
	var files []*modfile.File
	for name, content := range map[string]string{
		"go.mod":      "module example.test\nrequire (\n\texample.test/a v1.9.0\n\texample.test/b v1.0.0\n\texample.test/only v1.0.0\n)\n",
		"tool/go.mod": "module example.test/tool\nrequire (\n\texample.test v0.0.0\n\texample.test/a v1.10.0 // indirect\n\texample.test/b v1.1.0\n)\nreplace example.test => ../\nreplace example.test/b => example.test/b v1.0.0\n",
	} {
		file, err := modfile.Parse(name, []byte(content), nil)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	got := strings.Join(differences(files), "\n")
	want := "example.test/a has several versions: v1.9.0 in go.mod, v1.10.0 in tool/go.mod; in the folders of the others: go get example.test/a@v1.10.0 && go mod tidy"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// goModFiles are the paths of the repository's go.mod files.
func goModFiles(t *testing.T, repository fs.FS) (names []string) {
	t.Helper()
	err := fs.WalkDir(repository, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (path == "bin" || path == "dist" || strings.HasPrefix(path, ".") && path != ".") {
			return fs.SkipDir
		}
		if entry.Name() == "go.mod" {
			names = append(names, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func parse(t *testing.T, repository fs.FS, name string) *modfile.File {
	t.Helper()
	content, err := fs.ReadFile(repository, name)
	if err != nil {
		t.Fatal(err)
	}
	file, err := modfile.Parse(name, content, nil)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// differences names each module of which the files have several versions, with
// the version in each file.
func differences(files []*modfile.File) (found []string) {
	versions := map[string]map[string]string{} // module, file
	for _, file := range files {
		for module, version := range required(file) {
			if versions[module] == nil {
				versions[module] = map[string]string{}
			}
			versions[module][file.Syntax.Name] = version
		}
	}
	for _, module := range slices.Sorted(maps.Keys(versions)) {
		sorted := slices.SortedFunc(maps.Values(versions[module]), semver.Compare)
		newest := sorted[len(sorted)-1]
		if sorted[0] == newest {
			continue
		}
		var places []string
		for _, file := range slices.Sorted(maps.Keys(versions[module])) {
			places = append(places, versions[module][file]+" in "+file)
		}
		found = append(found, fmt.Sprintf("%s has several versions: %s; in the folders of the others: go get %s@%s && go mod tidy",
			module, strings.Join(places, ", "), module, newest))
	}
	return found
}

// required are the versions that a module builds with, of modules that it does not
// replace by a folder.
func required(file *modfile.File) map[string]string {
	versions := map[string]string{}
	for _, require := range file.Require {
		versions[require.Mod.Path] = require.Mod.Version
	}
	for _, replace := range file.Replace {
		if _, ok := versions[replace.Old.Path]; !ok {
			continue
		}
		if replace.New.Version == "" {
			delete(versions, replace.Old.Path)
		} else {
			versions[replace.Old.Path] = replace.New.Version
		}
	}
	return versions
}
