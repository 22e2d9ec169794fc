package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"egress.scw/bootstrap/scwfake"
)

// limited limits the files that a process writes to a number of blocks of 512
// bytes, like a full disk. Pipes are not limited.
func limited(t *testing.T, cmd *exec.Cmd, blocks string) {
	t.Helper()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Skipf("limits are set by a shell: %v", err)
	}
	cmd.Args = append([]string{shell, "-c", `ulimit -f "$0" && exec "$@"`, blocks, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = shell
}

// With a full disk, all outputs are attempted and reported, the old files are
// kept, and no temporary file is left.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	options := scwfake.Options{Kubeconfig: func(id, name string) ([]byte, error) {
		return []byte(scalewayKubeconfig(name, id)), nil
	}}
	for _, blocks := range []string{"0", "1"} { // a write fails, or is partial
		s := newSite(t, baseConfig, options)
		s.mustRun(t, "apply", "--yes")
		s.configure(t, replaced(t, "port: 3129", "port: 3131"))
		filler := strings.Repeat("# what a person wrote, and what takes more than a block\n", 40)
		kubeconfig := scalewayKubeconfig("other", "two") + filler
		s.write(t, "kubeconfig.yaml", kubeconfig)
		values := s.read(t, "values.yaml") + filler
		s.write(t, "values.yaml", values)

		cmd, output := s.process(t.Context(), "apply", "--yes")
		limited(t, cmd, blocks)
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != exitFailed {
			t.Errorf("%s blocks: %v, want exit code %d", blocks, err, exitFailed)
		}
		requireErrors(t, output.String(), []string{
			"Error: spec.outputs.kubeconfig: kubeconfig.yaml: file too large\n", "Error: spec.outputs.values: values.yaml: file too large\n",
		})
		if s.read(t, "kubeconfig.yaml") != kubeconfig || s.read(t, "values.yaml") != values {
			t.Errorf("%s blocks: the old files have changed", blocks)
		}
		requireNoLeftovers(t, s.dir)

		s.mustRun(t, "apply", "--yes")
		if s.read(t, "values.yaml") == values || !strings.Contains(s.read(t, "kubeconfig.yaml"), "egress-production") {
			t.Errorf("%s blocks: with space again, the files are not written", blocks)
		}
	}
}

// readOnly returns a folder in which this process cannot create files.
func readOnly(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "read-only")
	if err := os.Mkdir(folder, 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // root ignores permissions
		folder = "/sys"
	}
	file, err := os.CreateTemp(folder, "")
	if err == nil {
		_ = file.Close()
		_ = os.Remove(file.Name())
		t.Skipf("there is no folder that cannot be written to on %s", runtime.GOOS)
	}
	return folder
}

// Outputs that cannot be written are reported before anything is changed.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	folder := readOnly(t)
	outputs := "  outputs: {kubeconfig: " + filepath.Join(folder, "k.yaml") + ", values: " + filepath.Join(folder, "v.yaml") + "}\n"
	s := newSite(t, baseConfig+outputs, scwfake.Options{})
	code, output := s.run(t, "apply", "--yes")
	if code != exitFailed {
		t.Errorf("exit code %d, want %d", code, exitFailed)
	}
	requireErrors(t, output, []string{
		"Error: spec.outputs.kubeconfig: " + folder + "/k.yaml: cannot create a file in the folder " + folder + ": ",
		"Error: spec.outputs.values: " + folder + "/v.yaml: cannot create a file in the folder " + folder + ": ",
	})
	if s.Requests() > 0 {
		t.Errorf("%d requests before", s.Requests())
	}
}

// Files and folders in the place of an output are kept.
func TestOutputsInTheWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		prepare func(*testing.T, *site)
		want    []string
	}{
		{
			"folders", func(t *testing.T, s *site) {
				for _, name := range []string{"kubeconfig.yaml", "values.yaml"} {
					if err := os.Mkdir(filepath.Join(s.dir, name), 0o755); err != nil {
						t.Fatal(err)
					}
				}
			}, []string{"spec.outputs.kubeconfig: kubeconfig.yaml: is a directory", "spec.outputs.values: values.yaml: is a directory"},
		},
		{
			"files of somebody else", func(t *testing.T, s *site) {
				s.write(t, "kubeconfig.yaml", "token: "+token+"\n")
				s.write(t, "values.yaml", "replicas: 3\n")
			}, []string{"spec.outputs.kubeconfig: kubeconfig.yaml: is not a kubeconfig, so it is not overwritten", "spec.outputs.values: values.yaml: was not written by bootstrap, so it is not overwritten"},
		},
	} {
		s := newSite(t, baseConfig, scwfake.Options{})
		c.prepare(t, s)
		code, output := s.run(t, "apply", "--yes")
		if code != exitFailed || strings.Contains(output, token) {
			t.Errorf("%s: exit code %d\n%s", c.name, code, output)
		}
		requireErrors(t, output, c.want)
		requireNoLeftovers(t, s.dir)
		if s.Requests() > 0 {
			t.Errorf("%s: %d requests before", c.name, s.Requests())
		}
	}
}

func (s *site) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *site) read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
