package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
)

// TestRunRefuses: whatever is unusable ends the program with one clear error,
// before it waits for anything.
func TestRunRefuses(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.32.0.1")
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	certificate := writeCertificate(t)

	keyOfAnother := writeCertificate(t)
	copyFile(t, filepath.Join(certificate, "tls.crt"), filepath.Join(keyOfAnother, "tls.crt"))
	noPEM := t.TempDir()
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.WriteFile(filepath.Join(noPEM, name), []byte("no PEM"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"unknown flag":         {good("--proxy-port=3128"), []string{"unknown flag: --proxy-port"}},
		"wrong flag":           {good("--log-level=loud"), []string{"--log-level", `"loud"`}},
		"no certificate":       {good("--cert-dir", "/nonexistent"), []string{"--cert-dir /nonexistent", "tls.crt", "no such file"}},
		"no PEM":               {good("--cert-dir", noPEM), []string{"--cert-dir " + noPEM, "failed to find any PEM data"}},
		"the key of another":   {good("--cert-dir", keyOfAnother), []string{"--cert-dir " + keyOfAnother, "private key does not match public key"}},
		"no way to the server": {good("--cert-dir", certificate), []string{"finding the API server", "KUBECONFIG"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), test.args)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error is %v, want %q in it", err, want)
				}
			}
		})
	}
}

func TestRunSaysVersionAndHelp(t *testing.T) {
	for _, flag := range []string{"--version", "--help", "-h"} {
		if err := run(t.Context(), []string{flag}); err != nil {
			t.Errorf("%s: %v", flag, err)
		}
	}
	if buildVersion() == "" {
		t.Error("no version")
	}
}

// TestWebhookServer: TLS 1.3 and HTTP/1.1, whatever a client would rather have.
func TestWebhookServer(t *testing.T) {
	t.Parallel()
	directory := writeCertificate(t)
	certificates, err := certwatcher.New(filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	server := newWebhookServer(&options{webhookAddress: "127.0.0.1", webhookPort: port}, certificates)
	if server.StartedChecker()(nil) == nil {
		t.Error("the server is ready before it was started")
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Start(ctx) }()
	for begin := time.Now(); server.StartedChecker()(nil) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal(server.StartedChecker()(nil))
		}
	}

	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	dial := func(config *tls.Config) (tls.ConnectionState, error) {
		config.InsecureSkipVerify = true
		dialer := tls.Dialer{Config: config}
		connection, err := dialer.DialContext(t.Context(), "tcp", address)
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer connection.Close()
		return connection.(*tls.Conn).ConnectionState(), nil
	}
	if state, err := dial(&tls.Config{NextProtos: []string{"h2", "http/1.1"}}); err != nil {
		t.Error(err)
	} else if state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("speaks %s and %q", tls.VersionName(state.Version), state.NegotiatedProtocol)
	}
	if _, err := dial(&tls.Config{MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 is spoken")
	}
	stop()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// writeCertificate writes a self-signed certificate and its key, and returns
// their directory.
func writeCertificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	encodedKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: certificate},
		"tls.key": {Type: "PRIVATE KEY", Bytes: encodedKey},
	} {
		if err := os.WriteFile(filepath.Join(directory, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
