package squid

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// squidBinary returns the path of the real Squid. It skips the test if there is
// no Squid, because the test is meaningless without one.
func squidBinary(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"squid", "/usr/sbin/squid"} {
		if file, err := exec.LookPath(name); err == nil {
			return file
		}
	}
	t.Skip("skipped: there is no squid on this machine (Debian: apt install squid-openssl)")
	return ""
}

// parse fails the test unless the real Squid accepts the file without complaint.
// The certificate and the writer of the audit log that the file names need not exist:
// parse substitutes others.
func parse(t testing.TB, binary, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "squid.conf")
	certificate := writeCertificate(t, t.TempDir())
	text = regexp.MustCompile(` tls-cert=\S+ `).ReplaceAll(text, []byte(" tls-cert="+certificate+" "))
	text = regexp.MustCompile(`(?m)^logfile_daemon .*$`).ReplaceAll(text, []byte("logfile_daemon "+copyAuditWriter(t, t.TempDir())))
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // of 10,000 domains on a busy machine
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

// writeCertificate writes a certificate in the form that Squid requires for
// ports with inspected tunnels.
func writeCertificate(t testing.TB, folder string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "egress-proxy"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		DNSNames: []string{"localhost"},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	file := filepath.Join(folder, "certificate.pem")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// copyAuditWriter copies the program that writes the audit log to a folder that
// Squid's user may read.
func copyAuditWriter(t testing.TB, folder string) string {
	t.Helper()
	program, err := os.ReadFile("../rootfs/usr/local/sbin/egress-audit")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "egress-audit")
	if err := os.WriteFile(file, program, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// complaints returns the lines of Squid's messages that are warnings or worse.
// It accepts one warning, which our configuration causes: "via off" omits a
// header that HTTP requires of proxies, and that would reveal our proxies to
// origins.
func complaints(messages []byte) []string {
	var result []string
	bad := regexp.MustCompile(`(?i)\b(warning|error|fatal|bungled|obsolete|unrecognized)\b`)
	for line := range strings.Lines(string(messages)) {
		// Squid logs the text that it parses, and this text may contain any word.
		if strings.Contains(line, "| Processing: ") || strings.Contains(line, "WARNING: HTTP requires the use of Via") {
			continue
		}
		if bad.MatchString(line) {
			result = append(result, strings.TrimSpace(line))
		}
	}
	return result
}

// serviceName returns a new name. It separates the shared memory of one Squid
// from that of any other on the machine. "make clean" finds the leftovers of
// killed tests by the prefix (hack/local/process).
func serviceName() string { return fmt.Sprintf("egresstest%dx%d", os.Getpid(), mathrand.Uint32()) }

// squidProcess is a running Squid.
type squidProcess struct {
	pid int
	// command is the start of every command to this Squid: the binary, its service
	// name and its file.
	command []string
}

// startSquid runs Squid with this file, in a folder of liveProxy, until the test
// ends. "make clean" identifies the process as a test's by the folder in its
// environment variables (hack/local/process).
func startSquid(t testing.TB, folder string, file []byte) squidProcess {
	t.Helper()
	binary := squidBinary(t)
	name := filepath.Join(folder, "etc/squid/squid.conf") // where the audit log's writer reads it
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, file, 0o644); err != nil {
		t.Fatal(err)
	}
	service := serviceName()
	var messages strings.Builder
	// The context is cancelled right before cleanups run.
	command := exec.CommandContext(t.Context(), binary, "-N", "-n", service, "-f", name)
	command.Stdout, command.Stderr = &messages, &messages
	command.Env = append(os.Environ(), "EGRESS_ENVIRONMENT="+folder, "EGRESS_ROOT="+folder)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGINT) } // stops at once, without waiting for tunnels
	command.WaitDelay = time.Minute
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
		// Squid removes these files itself unless it was killed.
		left, _ := filepath.Glob("/dev/shm/" + service + "-*.shm")
		for _, file := range left {
			_ = os.Remove(file)
		}
	})
	return squidProcess{command.Process.Pid, []string{binary, "-n", service, "-f", name}}
}

// TestLeftoversAreFound: the leftovers of a killed test have the marks that
// "make clean" searches for.
func TestLeftoversAreFound(t *testing.T) {
	proxy := liveProxy(t)
	process := startRendered(t, proxy, nil)
	folder := filepath.Dir(proxy.AuditLog)
	variables, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", process.pid))
	if err != nil || !strings.Contains("\x00"+string(variables), "\x00EGRESS_ENVIRONMENT="+folder+"\x00") {
		t.Errorf("%v: no EGRESS_ENVIRONMENT=%s in %q", err, folder, variables)
	}
	if !strings.HasPrefix(filepath.Base(folder), "egress-test-") {
		t.Errorf("the folder is called %s", folder)
	}
	pattern := fmt.Sprintf("/dev/shm/egresstest%dx*.shm", os.Getpid())
	if shared, err := filepath.Glob(pattern); err != nil || len(shared) == 0 {
		t.Errorf("no %s: %v", pattern, err)
	}
}
