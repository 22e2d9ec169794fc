package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/scaleway"
	"egress.scw/bootstrap/scwfake"
)

// answered runs init on a terminal, without credentials in the environment, and with
// these lines as answers.
func (s *site) answered(t *testing.T, lines []string, args ...string) (output string, err error) {
	t.Helper()
	for name, value := range map[string]string{
		"HOME": s.dir, "SCW_CONFIG_PATH": filepath.Join(s.dir, "none"), "SCW_API_URL": s.server.URL, "SCW_ACCESS_KEY": "", "SCW_SECRET_KEY": "",
		"SCW_DEFAULT_PROJECT_ID": scwfake.DefaultProjectID,
	} {
		t.Setenv(name, value)
	}
	var stdout, stderr bytes.Buffer
	err = run(t.Context(), environment{
		args:  append([]string{"init", "--config", filepath.Join(s.dir, "egress.yaml")}, args...),
		stdin: strings.NewReader(strings.Join(lines, "\n") + "\n"), stdout: &stdout, stderr: &stderr,
		terminals: terminals{stdin: true}, getenv: os.Getenv, checkPlaces: scaleway.CheckPlaces,
		findKey: scaleway.FindCredentials, enterKey: scaleway.EnterCredentials,
		readSecret: func(context.Context) (string, error) { return canarySecretKey, nil },
	})
	output = stdout.String() + stderr.String()
	requireNone(t, "the output", output, encoded(canarySecretKey))
	return output, err
}

// TestInitAsks answers the questions on a terminal, some of them with the default.
func TestInitAsks(t *testing.T) {
	s := newEmptySite(t, scwfake.Options{})
	output, err := s.answered(t, []string{canaryAccessKey, "staging", "", "nl-ams", "", "", "", "", "none", "shop, billing", "n"})
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, want := range []string{
		"Access key (SCW…): Secret key (not shown): \n", "Name of the stack [production]: ", "Region [fr-par]: ", "Zone of the machines [nl-ams-1]: ",
		"Address of the proxy in the network [172.16.0.8]: ", "Create an IAM application with an API key",
	} {
		if !strings.Contains(output, want) {
			t.Errorf("no %q in\n%s", want, output)
		}
	}
	loaded, err := config.Load("egress.yaml", []byte(s.read(t, "egress.yaml")))
	if err != nil || loaded.Metadata.Name != "staging" || loaded.Spec.Zone != "nl-ams-1" || loaded.Spec.Cluster != nil || len(loaded.Spec.Tenants) != 2 {
		t.Errorf("%v\n%s", err, s.read(t, "egress.yaml"))
	}
	if s.inEnv(t, ".env").get(secretKeyVariable) != canarySecretKey {
		t.Error(".env lacks the secret key")
	}
}

// TestInitAsksAgain requires that a wrong answer is explained, and asked for again, and
// that later questions have no part in that.
func TestInitAsksAgain(t *testing.T) {
	s := newEmptySite(t, scwfake.Options{})
	output, err := s.answered(t, []string{
		canaryAccessKey, "Staging", "staging", "", "xx-abc", "fr-par", "fr-par-9", "fr-par-2", "10.0.0.0/8", unusedID, "", "10.0.0.9", "", "mine", "none", "A,b", "a,b", "n",
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for _, want := range []string{
		`  metadata.name: Invalid value: "Staging": `, "  spec.region: ", "there is no zone fr-par-9", "  spec.network.cidr: ",
		"  an answer is required\n", "  spec.cluster.id: ", "  spec.tenants[0].name: ",
	} {
		if !strings.Contains(output, want) {
			t.Errorf("no %q in\n%s", want, output)
		}
	}
	loaded, err := config.Load("egress.yaml", []byte(s.read(t, "egress.yaml")))
	if err != nil || loaded.Metadata.Name != "staging" || loaded.Spec.Zone != "fr-par-2" || loaded.Spec.Network.ID != unusedID || len(loaded.Spec.Tenants) != 2 {
		t.Errorf("%v\n%s", err, s.read(t, "egress.yaml"))
	}
}

// TestInitAsksNothingForWrongFlags requires the errors of flags before the first
// question, and an end of the questions when the input ends.
func TestInitAsksNothingForWrongFlags(t *testing.T) {
	s := newEmptySite(t, scwfake.Options{})
	output, err := s.answered(t, []string{canaryAccessKey}, "--zone", "fr-par-9", "--tenants", "A")
	if err == nil || strings.Contains(output, "Name of the stack") || !strings.Contains(err.Error(), "there is no zone fr-par-9") || !strings.Contains(err.Error(), "spec.tenants[0].name") {
		t.Errorf("%v\n%s", err, output)
	}
	output, err = s.answered(t, []string{canaryAccessKey, "staging"})
	if err == nil || !strings.Contains(err.Error(), "standard input ended before the answer to ") {
		t.Errorf("%v\n%s", err, output)
	}
	if entries, err := os.ReadDir(s.dir); err != nil || len(entries) > 0 {
		t.Errorf("the folder contains %v (%v)", entries, err)
	}
}

// newTerminal returns both ends of a pseudo-terminal.
func newTerminal(t *testing.T) (screen, program *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return screen, program
}

func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

func waitForEcho(t *testing.T, terminal *os.File, want bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); echoes(t, terminal) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("echo stays %t", !want)
		}
	}
}

// TestSecretIsNotEchoed types a secret key on a terminal, which must not show it, and
// must show what is typed afterwards.
func TestSecretIsNotEchoed(t *testing.T) {
	t.Parallel()
	screen, terminal := newTerminal(t)
	got := make(chan string, 1)
	go func() {
		text, err := readSecret(terminal)(t.Context())
		if err != nil {
			text = err.Error()
		}
		got <- text
	}()
	waitForEcho(t, terminal, false)
	if _, err := screen.WriteString(canarySecretKey + "\n"); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != canarySecretKey {
		t.Errorf("read %q", text)
	}
	waitForEcho(t, terminal, true)
	const after = "after\r\n"
	if _, err := screen.WriteString("after\n"); err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	buffer := make([]byte, 1024)
	for !strings.HasSuffix(shown.String(), after) {
		n, err := screen.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(buffer[:n])
	}
	requireNone(t, "the terminal", shown.String(), encoded(canarySecretKey))
}

// TestEchoAfterAnInterruption requires that the terminal shows what is typed again.
func TestEchoAfterAnInterruption(t *testing.T) {
	t.Parallel()
	_, terminal := newTerminal(t)
	interruptQuestion(t, terminal)
	if !echoes(t, terminal) {
		t.Error("the terminal stays without echo")
	}
}

// interruptQuestion asks for a secret on the terminal and cancels the question.
func interruptQuestion(t *testing.T, terminal *os.File) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan error, 1)
	go func() {
		_, err := readSecret(terminal)(ctx)
		got <- err
	}()
	waitForEcho(t, terminal, false)
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestInterruptedQuestionLeavesOtherFiles closes the terminal of an interrupted question
// and opens another one, which gets the number of the closed descriptor. The abandoned
// read ends when its terminal hangs up; it must not change the other one.
func TestInterruptedQuestionLeavesOtherFiles(t *testing.T) {
	for range 20 {
		screen, terminal := newTerminal(t)
		interruptQuestion(t, terminal)
		if err := terminal.Close(); err != nil {
			t.Fatal(err)
		}
		_, other := newTerminal(t)
		state, err := unix.IoctlGetTermios(int(other.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		state.Lflag &^= unix.ECHO
		if err := unix.IoctlSetTermios(int(other.Fd()), unix.TCSETS, state); err != nil {
			t.Fatal(err)
		}
		if err := screen.Close(); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if echoes(t, other) {
				t.Fatal("the end of the abandoned read changed another terminal")
			}
			time.Sleep(time.Millisecond)
		}
	}
}
