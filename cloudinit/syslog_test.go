package cloudinit

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// syslogHost is the host name of the server in these tests.
const syslogHost = "logs.example.com"

// TestAuditLogIsShipped: a real rsyslog, with the machine's file, sends every
// line once and in order, although the server starts late and the log is rotated.
func TestAuditLogIsShipped(t *testing.T) {
	ca := newAuthority(t)
	address := freeAddress(t)
	log := startRsyslog(t, ca, address)
	var want []string
	write := func(count int) {
		for range count {
			want = append(want, fmt.Sprintf(`{"tenant":"client-a","number":%d,"host":"%%22%s"}`, len(want), strings.Repeat("x", len(want)%3*4050)))
			log.write(t, want[len(want)-1])
		}
	}
	write(50) // before the server starts

	server := startSyslogServer(t, address, ca.issue(t, syslogHost))
	write(50)
	server.wait(t, want)
	log.rotate(t, func() { write(50) }) // to the old file, after the new one is created
	write(50)
	server.wait(t, want)
	for _, header := range server.headers() {
		if !regexp.MustCompile(`^<134>1 \S+T\S+ \S+ egress-audit - - - $`).MatchString(header) {
			t.Fatalf("%q is no header of RFC 5424 with facility local0 and severity info", header)
		}
	}
}

// TestAuditLogIsShippedToNobodyElse: rsyslog does not send to a server with a
// certificate for another name, nor to a server with a certificate from another
// authority.
func TestAuditLogIsShippedToNobodyElse(t *testing.T) {
	ca := newAuthority(t)
	for name, certificate := range map[string]tls.Certificate{
		"other name":      ca.issue(t, "logs.example.net"),
		"other authority": newAuthority(t).issue(t, syslogHost),
	} {
		t.Run(name, func(t *testing.T) {
			address := freeAddress(t)
			server := startSyslogServer(t, address, certificate)
			startRsyslog(t, ca, address).write(t, "{}")
			select {
			case <-server.refused: // The client has checked the certificate.
			case <-time.After(2 * time.Minute):
				t.Fatal("no client has connected")
			}
			if got := server.messages(); len(got) > 0 {
				t.Errorf("it has received %q", got)
			}
		})
	}
}

// auditFile is the audit log of a machine, in Squid's format. The machine's
// rsyslog follows it.
type auditFile struct {
	root *machineRoot
	file *os.File
}

func (l *auditFile) open(t *testing.T) {
	t.Helper()
	var err error
	if l.file, err = os.OpenFile(l.root.path(AuditLog), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640); err != nil {
		t.Error(err)
	}
}

func (l *auditFile) write(t *testing.T, line string) {
	t.Helper()
	if _, err := l.file.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
}

// rotate renames the log as logrotate does on the machine, with the machine's
// script, and creates a new file as Squid does after its signal.
func (l *auditFile) rotate(t *testing.T, meanwhile func()) {
	t.Helper()
	l.root.run("egress-rotation", "before")
	l.rename(t, oldAuditLog)
	meanwhile()
	l.file.Close()
	l.open(t)
	l.root.run("egress-rotation", "after")
}

// rename gives the audit log another name, and creates a new one.
func (l *auditFile) rename(t *testing.T, name string) {
	t.Helper()
	if err := os.Rename(l.root.path(AuditLog), l.root.path(name)); err != nil {
		t.Fatal(err)
	}
	l.root.write(AuditLog, "")
}

// startRsyslog starts an rsyslog that sends a log to a server until the test ends.
func startRsyslog(t *testing.T, ca *authority, server string) *auditFile {
	t.Helper()
	rsyslogd, err := exec.LookPath("/usr/sbin/rsyslogd")
	if err != nil {
		t.Skip("skipped: there is no rsyslogd on this machine (Debian: apt install rsyslog rsyslog-openssl)")
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	machine := validMachine()
	const target = "192.0.2.1" // because a loopback address is not valid
	machine.Syslog = &Syslog{Host: syslogHost, Address: netip.MustParseAddr(target), Port: int32(number), CA: string(ca.text)}
	root := newMachineRoot(t, machine)
	log := &auditFile{root: root}
	root.write(syslogConf, strings.NewReplacer(
		AuditLog, root.path(AuditLog), syslogCA, root.path(syslogCA), "/var/lib/egress-syslog", root.dir, target, host,
		`action.resumeInterval="5"`, `action.resumeInterval="1"`,
	).Replace(root.read(syslogConf)))
	log.open(t)
	t.Cleanup(func() { log.file.Close() })

	var messages strings.Builder
	command := exec.CommandContext(t.Context(), rsyslogd, "-n", "-iNONE", "-f", root.path(syslogConf))
	command.Stdout, command.Stderr = &messages, &messages
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = time.Minute
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	root.unitRuns("egress-syslog", command.Process.Pid)
	t.Cleanup(func() {
		if err := command.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("rsyslogd: %v", err)
		}
		if t.Failed() {
			t.Logf("messages of rsyslogd:\n%s", messages.String())
		}
	})
	return log
}

// syslogServer receives messages according to RFC 5425.
type syslogServer struct {
	// refused is closed once a client has ended a handshake, or has ended a
	// connection before its first message.
	refused chan struct{}

	mu       sync.Mutex
	received []string
}

func startSyslogServer(t *testing.T, address string, certificate tls.Certificate) *syslogServer {
	t.Helper()
	listener, err := tls.Listen("tcp", address, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	server := &syslogServer{refused: make(chan struct{})}
	var connections sync.WaitGroup
	var once sync.Once
	connections.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { connection.Close() })
			connections.Go(func() {
				defer stop()
				defer connection.Close()
				if server.receive(connection) == 0 {
					once.Do(func() { close(server.refused) })
				}
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		connections.Wait()
	})
	return server
}

// receive returns the number of messages received from a connection.
func (s *syslogServer) receive(connection net.Conn) int {
	reader := bufio.NewReader(connection)
	for count := 0; ; count++ {
		length, err := reader.ReadString(' ')
		if err != nil {
			return count
		}
		size, err := strconv.Atoi(strings.TrimSuffix(length, " "))
		if err != nil {
			return count
		}
		message := make([]byte, size)
		if _, err := io.ReadFull(reader, message); err != nil {
			return count
		}
		s.mu.Lock()
		s.received = append(s.received, string(message))
		s.mu.Unlock()
	}
}

// messages returns the received lines, and headers the text before them.
func (s *syslogServer) messages() []string {
	return s.split(func(_, line string) string { return line })
}

func (s *syslogServer) headers() []string {
	return s.split(func(header, _ string) string { return header })
}

func (s *syslogServer) split(take func(header, line string) string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var result []string
	for _, message := range s.received {
		i := max(0, strings.IndexByte(message, '{'))
		result = append(result, take(message[:i], message[i:]))
	}
	return result
}

// wait returns once the expected number of lines has arrived, and compares them.
func (s *syslogServer) wait(t *testing.T, want []string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); len(s.messages()) < len(want) && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	if got := s.messages(); !slices.Equal(want, got) {
		t.Fatalf("%d lines have come of %d, -want +got:\n%.2000s", len(got), len(want), cmp.Diff(want, got))
	}
}

// authority issues certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	text        []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// freeAddress returns a loopback address without a listener. Tests of other packages run
// at the same time: on 127.0.0.1, one of them may get the port meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	address := fmt.Sprintf("127.75.%d.%d:0", mathrand.IntN(256), 1+mathrand.IntN(254))
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
