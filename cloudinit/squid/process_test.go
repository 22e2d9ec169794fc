package squid

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// squidBinary returns the path of the real Squid, without which the test
// cannot say anything.
func squidBinary(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"squid", "/usr/sbin/squid"} {
		if file, err := exec.LookPath(name); err == nil {
			return file
		}
	}
	t.Skip("skipped: there is no squid on this machine (Debian: apt install squid-openssl)")
	return ""
}

// parse fails the test unless the real Squid accepts the file without
// complaint.
func parse(t *testing.T, binary, file string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	output, err := exec.CommandContext(ctx, binary, "-k", "parse", "-n", serviceName(), "-f", file).CombinedOutput()
	if err != nil {
		t.Fatalf("squid -k parse: %v\n%s", err, output)
	}
	if !strings.Contains(string(output), "Processing: http_access deny all") {
		t.Errorf("squid -k parse did not read the file to its rules:\n%s", output)
	}
	if found := complaints(output); len(found) > 0 {
		t.Errorf("squid -k parse complains:\n%s", strings.Join(found, "\n"))
	}
}

// complaints returns the lines of Squid's messages that are warnings or worse.
// One is the price of what we want: "via off" leaves out a header that HTTP
// asks proxies to add, and that would tell origins about ours.
func complaints(messages []byte) []string {
	var result []string
	bad := regexp.MustCompile(`(?i)\b(warning|error|fatal|bungled|obsolete|unrecognized)\b`)
	for line := range strings.Lines(string(messages)) {
		// Squid repeats what it parses, which may hold any word.
		if strings.Contains(line, "| Processing: ") || strings.Contains(line, "WARNING: HTTP requires the use of Via") {
			continue
		}
		if bad.MatchString(line) {
			result = append(result, strings.TrimSpace(line))
		}
	}
	return result
}

// serviceName keeps the shared memory of this Squid apart from that of any
// other on the machine.
func serviceName() string { return fmt.Sprintf("egtest%d", os.Getpid()) }

// startSquid runs Squid with this file until the test ends.
func startSquid(t *testing.T, file []byte) {
	t.Helper()
	binary := squidBinary(t)
	name := filepath.Join(t.TempDir(), "squid.conf")
	if err := os.WriteFile(name, file, 0o644); err != nil {
		t.Fatal(err)
	}
	var messages strings.Builder
	// The context is done right before cleanups run.
	command := exec.CommandContext(t.Context(), binary, "-N", "-n", serviceName(), "-f", name)
	command.Stdout, command.Stderr = &messages, &messages
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGINT) } // at once, without waiting for tunnels
	command.WaitDelay = 20 * time.Second
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := command.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("squid: %v", err)
		}
		if t.Failed() {
			t.Logf("messages of squid:\n%s", messages.String())
		}
		// Squid removes these itself unless it was killed.
		left, _ := filepath.Glob("/dev/shm/" + serviceName() + "-*.shm")
		for _, file := range left {
			_ = os.Remove(file)
		}
	})
}
