package cloudinit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machineRoot is a folder with the files of a machine at their paths. The machine's
// scripts run in it unchanged: they read the folder from EGRESS_ROOT. Programs below
// /bin, which only tests write, replace the system's.
type machineRoot struct {
	t   testing.TB
	dir string
	// patience replaces every time limit of the scripts, in seconds. Empty: the
	// scripts use their own limits.
	patience string
}

func newMachineRoot(t testing.TB, machine Machine) *machineRoot {
	t.Helper()
	root := &machineRoot{t: t, dir: t.TempDir()}
	files, err := machine.files()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		root.write(file.Path, file.Content)
	}
	for _, folder := range []string{"/bin", "/run", filepath.Dir(AuditLog)} {
		if err := os.MkdirAll(root.path(folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// path returns the path in this folder for a path of the machine.
func (r *machineRoot) path(name string) string { return filepath.Join(r.dir, name) }

// write writes an executable file of the machine.
func (r *machineRoot) write(name, content string) {
	r.t.Helper()
	if err := os.MkdirAll(filepath.Dir(r.path(name)), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(r.path(name), []byte(content), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

func (r *machineRoot) read(name string) string {
	r.t.Helper()
	content, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(content)
}

// program installs a program of this name, which records its calls in the file
// /calls and then runs these lines of shell.
func (r *machineRoot) program(name string, lines ...string) {
	r.t.Helper()
	r.write("/bin/"+name, "#!/bin/bash\necho \"${0##*/} $*\" >> "+r.path("/calls")+"\n"+strings.Join(lines, "\n")+"\n")
}

// calls returns the recorded calls, in order.
func (r *machineRoot) calls() []string {
	r.t.Helper()
	content, err := os.ReadFile(r.path("/calls"))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return strings.FieldsFunc(string(content), func(c rune) bool { return c == '\n' })
}

// command returns a call of one of the machine's scripts.
func (r *machineRoot) command(name string, args ...string) *exec.Cmd {
	command := exec.CommandContext(r.t.Context(), "bash", append([]string{r.path(scriptFolder + "/" + name)}, args...)...)
	command.Env = append(os.Environ(), "EGRESS_ROOT="+r.dir, "PATH="+r.path("/bin")+":"+os.Getenv("PATH"))
	if r.patience != "" {
		command.Env = append(command.Env, "EGRESS_PATIENCE="+r.patience)
	}
	return command
}

// run returns the output of a script, which must succeed.
func (r *machineRoot) run(name string, args ...string) string {
	r.t.Helper()
	output, err := r.command(name, args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, output)
	}
	return string(output)
}
