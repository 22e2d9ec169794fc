package cloudinit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// handedOver is a line of the audit log as Squid hands it over.
func handedOver(tenant, port, host string) string {
	return `L{"time":"2026-01-02T03:04:05.678Z","tenant":"` + tenant + `","port":"` + port + `","client":"172.16.28.16","method":"-","host":"` + host + `"}` + "\n"
}

// unreadOn is the line of a connection without a request that Squid can parse.
func unreadOn(port string) string {
	return `L{"time":"2026-01-02T03:04:05.678Z","tenant":"-","port":"` + port + `","client":"172.16.28.16","method":"-","host":"-","status":400,"verdict":"-","rule":"-","result":"NONE_NONE/HIER_NONE"}` + "\n"
}

// TestAuditWriter: a line without a tenant gets the tenant of its port, and every
// other line stays as it is. Connections to the port for the state without a request are
// left out. A rotation continues in a new file.
func TestAuditWriter(t *testing.T) {
	root := newMachineRoot(t, validMachine())
	root.write("/etc/squid/squid.conf", "# serves 3129 0123 client-a\nhttp_port 172.16.28.8:3129 name=client-a\n# serves 3130 4567 client-b\n# serves-sidecars 3131 89ab client-c\nhttp_port 0.0.0.0:3128 accel name=manager_port\n")
	log := root.path("/audit.log")
	write := func(lines ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), root.path(auditProgram), log)
		command.Env = append(os.Environ(), "EGRESS_ROOT="+root.path(""))
		command.Stdin = strings.NewReader(strings.Join(lines, ""))
		if output, err := command.CombinedOutput(); err != nil || len(output) > 0 {
			t.Fatalf("%v: %s", err, output)
		}
	}
	write(
		handedOver("-", "3129", "-"),
		handedOver("client-b", "3130", "a.example"),
		handedOver("-", "3130", `%22,%22tenant%22:%22-`),
		handedOver("-", "3131", "-"),
		handedOver("-", "3128", "-"), // Squid's statistics
		unreadOn("3128"), unreadOn("3129"),
		"F\n",
		handedOver("client-a", "3130", "-"), // as Squid wrote it
	)
	write(handedOver("-", "3129", "before"), "R\n")
	want := handedOver("client-a", "3129", "-") + handedOver("client-b", "3130", "a.example") + handedOver("client-b", "3130", `%22,%22tenant%22:%22-`) +
		handedOver("client-c", "3131", "-") + handedOver("-", "3128", "-") + strings.Replace(unreadOn("3129"), `"tenant":"-"`, `"tenant":"client-a"`, 1) + handedOver("client-a", "3130", "-") + handedOver("client-a", "3129", "before")
	got, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.ReplaceAll(want, "L{", "{"), string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestAuditWriterEndsALineThatWasCutOff: after a loss of power, or with a new squid.conf
// while the disk was full, the file may end within a line. The next line is whole.
func TestAuditWriterEndsALineThatWasCutOff(t *testing.T) {
	const whole = `{"time":"2026-01-02T03:04:05.678Z"}` + "\n"
	for name, test := range map[string]struct{ before, after string }{
		"no file":       {"", ""},
		"whole lines":   {whole, whole},
		"a part":        {whole + whole[:10], whole + whole[:10] + "\n"},
		"lost contents": {whole + "\x00\x00", whole + "\x00\x00\n"},
	} {
		root := newMachineRoot(t, validMachine())
		root.write("/etc/squid/squid.conf", "# serves 3129 0123 client-a\n")
		log := root.path("/audit.log")
		if err := os.WriteFile(log, []byte(test.before), 0o600); err != nil {
			t.Fatal(err)
		}
		command := exec.CommandContext(t.Context(), root.path(auditProgram), log)
		command.Env = append(os.Environ(), "EGRESS_ROOT="+root.path(""))
		command.Stdin = strings.NewReader("L" + whole)
		if output, err := command.CombinedOutput(); err != nil || len(output) > 0 {
			t.Fatalf("%s: %v: %s", name, err, output)
		}
		if diff := cmp.Diff(test.after+whole, root.read("/audit.log")); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// TestAuditWriterKeepsTheOldFile: a rotation whose new file cannot be opened, on a disk without
// inodes for example, does not end the program.
func TestAuditWriterKeepsTheOldFile(t *testing.T) {
	root := newMachineRoot(t, validMachine())
	root.write("/etc/squid/squid.conf", "# serves 3129 0123 client-a\n")
	log := root.path("/audit.log")
	command := exec.CommandContext(t.Context(), root.path(auditProgram), log)
	command.Env = append(os.Environ(), "EGRESS_ROOT="+root.path(""))
	var messages strings.Builder
	command.Stderr = &messages
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	before, after := handedOver("client-a", "3129", "before"), handedOver("client-a", "3129", "after")
	if _, err := io.WriteString(input, before); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the first line", func() error {
		text, err := os.ReadFile(log)
		if err == nil && "L"+string(text) != before {
			err = fmt.Errorf("%q", text)
		}
		return err
	})
	if err := errors.Join(os.Rename(log, log+"-old"), os.Mkdir(log, 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(input, "R\n"+after); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(input.Close(), command.Wait()); err != nil || !strings.Contains(messages.String(), "not opened: "+log) {
		t.Errorf("%v: %q", err, messages.String())
	}
	if diff := cmp.Diff(strings.ReplaceAll(before+after, "L{", "{"), root.read("/audit.log-old")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestAuditWriterReportsLinesThatItKept: Squid starts the program anew with each squid.conf.
// Lines that could not be written until then are lost, which is reported.
func TestAuditWriterReportsLinesThatItKept(t *testing.T) {
	root := newMachineRoot(t, validMachine())
	root.write("/etc/squid/squid.conf", "# serves 3129 0123 client-a\n")
	command := exec.CommandContext(t.Context(), root.path(auditProgram), "/dev/full")
	command.Env = append(os.Environ(), "EGRESS_ROOT="+root.path(""))
	command.Stdin = strings.NewReader(handedOver("-", "3129", "lost"))
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "lines of the audit log are lost: /dev/full: No space left on device") {
		t.Errorf("%v: %q", err, output)
	}
}

// TestAuditWriterSurvivesAFullDisk: the program loses lines while the disk is full,
// reports that, and does not end, because Squid would end with it. Once there is room
// again, lines are whole.
func TestAuditWriterSurvivesAFullDisk(t *testing.T) {
	root := newMachineRoot(t, validMachine())
	root.write("/etc/squid/squid.conf", "# serves 3129 0123 client-a\n")
	link, file := root.path("/audit.log"), root.path("/room.log")
	if err := os.Symlink("/dev/full", link); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), root.path(auditProgram), link)
	command.Env = append(os.Environ(), "EGRESS_ROOT="+root.path(""))
	messages := root.path("/messages")
	stderr, err := os.Create(messages)
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	command.Stderr = stderr
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lost, kept := handedOver("-", "3129", "lost"), handedOver("-", "3129", "kept")
	if _, err := io.WriteString(input, strings.Repeat(lost, 3<<20/len(lost))); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the report of lost lines", func() error {
		text, err := os.ReadFile(messages)
		if err == nil && !strings.Contains(string(text), "lines of the audit log are lost: "+link+": No space left on device") {
			err = fmt.Errorf("%q", text)
		}
		return err
	})
	if err := errors.Join(os.Remove(link), os.Symlink(file, link)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(input, "R\n"+kept); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(input.Close(), command.Wait()); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	whole := func(line string) string { return strings.Replace(line[1:], `"-","port"`, `"client-a","port"`, 1) }
	if !strings.HasSuffix(string(written), "\n"+whole(kept)) {
		t.Errorf("the last line is not whole: %q", written[max(0, len(written)-300):])
	}
	for line := range strings.Lines(string(written)) {
		if line != "\n" && line != whole(lost) && line != whole(kept) {
			t.Errorf("a line is not whole: %q", line)
		}
	}
}
