package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/certwatcher"

	"egress.scw/webhook/controller"
	"egress.scw/webhook/settings"
)

// TestRunRefuses: the program ends with one clear error, before it waits for
// other programs, if it cannot run.
func TestRunRefuses(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.32.0.1")
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	certificate := writeCertificate(t)

	otherKey := writeCertificate(t)
	copyFile(t, filepath.Join(certificate, "tls.crt"), filepath.Join(otherKey, "tls.crt"))
	noPEM := t.TempDir()
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.WriteFile(filepath.Join(noPEM, name), []byte("not PEM"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certDir := func(dir string) string { return "admission: {certDir: " + dir + "}" }
	for name, test := range map[string]struct {
		settings string // besides the required ones
		want     []string
	}{
		"wrong setting":           {"logLevel: loud", []string{"wrong settings in ", "settings.yaml:\n  logLevel: ", `"loud"`}},
		"too many CIDRs":          {"cluster: {cidrs: [" + manyCIDRs() + "]}", []string{"wrong settings in ", "settings.yaml:\n  cluster.cidrs: "}},
		"no certificate":          {certDir("/nonexistent"), []string{"admission.certDir /nonexistent", "tls.crt", "no such file"}},
		"certificate is not PEM":  {certDir(noPEM), []string{"admission.certDir " + noPEM, "failed to find any PEM data"}},
		"another key":             {certDir(otherKey), []string{"admission.certDir " + otherKey, "private key does not match public key"}},
		"API server is not known": {certDir(certificate), []string{"finding the API server", "KUBECONFIG"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(t.Context(), []string{"--settings", writeSettings(t, test.settings)})
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error is %v, want %q in it", err, want)
				}
			}
		})
	}
}

// TestRunRefusesAllAtOnce: errors of the settings file and of the environment
// are reported together.
func TestRunRefusesAllAtOnce(t *testing.T) {
	for _, host := range []string{"", "https://10.32.0.1"} {
		t.Setenv("KUBERNETES_SERVICE_HOST", host)
		err := run(t.Context(), []string{"--settings", writeSettings(t, "logLevel: loud\ndns: {pods: [{namespace: a_b, podLabels: {a: b}}]}")})
		for _, want := range []string{"\n  logLevel: ", "\n  dns.pods[0].namespace: ", "\nenvironment variable KUBERNETES_SERVICE_HOST"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want %q in it", err, want)
			}
		}
	}
}

func TestRunRefusesUnknownFlags(t *testing.T) {
	err := run(t.Context(), []string{"--proxy-port=3128"})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --proxy-port") {
		t.Errorf("error is %v", err)
	}
}

func manyCIDRs() string {
	var list []string
	for i := range 256 {
		list = append(list, fmt.Sprintf("192.168.%d.0/24", i))
	}
	return strings.Join(list, ", ")
}

// writeSettings writes a settings file with the required settings and further
// ones, and returns its name.
func writeSettings(t *testing.T, further string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "settings.yaml")
	contents := "apiVersion: egress.scw/v1alpha1\nkind: WebhookSettings\nproxy: {addresses: [172.16.28.8]}\n" + further
	if err := os.WriteFile(file, []byte(contents), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRunPrintsVersionAndHelp(t *testing.T) {
	for _, flag := range []string{"--version", "--help", "-h"} {
		if err := run(t.Context(), []string{flag}); err != nil {
			t.Errorf("%s: %v", flag, err)
		}
	}
	if buildVersion() == "" {
		t.Error("no version")
	}
}

// TestWebhookServer: the server uses TLS 1.3 and HTTP/1.1, whatever a client
// prefers.
func TestWebhookServer(t *testing.T) {
	t.Parallel()
	directory := writeCertificate(t)
	certificates, err := certwatcher.New(filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	server := newWebhookServer(settings.BindAddress{Host: address.Addr(), Port: address.Port()}, certificates, slog.New(slog.DiscardHandler))
	if server.StartedChecker()(nil) == nil {
		t.Error("the server is ready before it was started")
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Start(ctx) }()
	for begin := time.Now(); server.StartedChecker()(nil) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatal(server.StartedChecker()(nil))
		}
	}

	dial := func(config *tls.Config) (tls.ConnectionState, error) {
		config.InsecureSkipVerify = true
		dialer := tls.Dialer{Config: config}
		connection, err := dialer.DialContext(t.Context(), "tcp", address.String())
		if err != nil {
			return tls.ConnectionState{}, err
		}
		defer connection.Close()
		return connection.(*tls.Conn).ConnectionState(), nil
	}
	if state, err := dial(&tls.Config{NextProtos: []string{"h2", "http/1.1"}}); err != nil {
		t.Error(err)
	} else if state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "http/1.1" {
		t.Errorf("the server uses %s and %q", tls.VersionName(state.Version), state.NegotiatedProtocol)
	}
	if _, err := dial(&tls.Config{MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("the server accepts TLS 1.2")
	}
	stop()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// freeAddress returns a loopback address without a listener. Tests of other packages run
// at the same time: on 127.0.0.1, one of them may get the port meanwhile.
func freeAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	address := fmt.Sprintf("127.75.%d.%d:0", mathrand.IntN(256), 1+mathrand.IntN(254))
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return netip.MustParseAddrPort(listener.Addr().String())
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

// The cluster's DNS is that of the pod. Servers on loopback are those of a machine.
func TestClusterResolvers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "resolv.conf")
	content := "search egress-system.svc.cluster.local svc.cluster.local\nnameserver 10.32.0.10\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver 169.254.20.10\noptions ndots:5\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := clusterResolvers(file)
	if want := (controller.Resolvers{netip.MustParseAddr("10.32.0.10"), netip.MustParseAddr("169.254.20.10")}); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if _, err := clusterResolvers(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "the cluster's DNS") {
		t.Errorf("without the file: %v", err)
	}
}
