package squid

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/sidecar"
	"egress.scw/webhook/api/v1alpha1"
)

// chain is a sidecar and a HAProxy in front of a Squid. All requests are the first
// tenant's.
type chain struct {
	squid   benchSquid
	haproxy squidProcess
	sidecar benchSquid // the sidecar's port, as if it were Squid's

	address                    string // of HAProxy
	machineFile, tenantKeyFile string // its certificate, and the tenant's with its key
}

// startFloor returns a HAProxy that copies the bytes of each connection to the first
// tenant's port.
func startFloor(b *testing.B, squid benchSquid) benchSquid {
	b.Helper()
	listen := freeAddress(b)
	file := filepath.Join(b.TempDir(), "haproxy.cfg")
	config := fmt.Sprintf(`
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
listen squid
    bind %s
    source %s
    server squid %s:%d
`, listen, squid.proxy.ListenAddress, squid.proxy.ListenAddress, squid.tenants[0].Proxy.Port)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	return asSquid("floor", listen, startListening(b, listen, "haproxy", "-db", "-f", file))
}

// startTunnelFloor returns a HAProxy that does the work of the sidecar: it carries tunnels
// to the other HAProxy as streams of HTTP/2 with the tenant's certificate.
func (c chain) startTunnelFloor(b *testing.B) benchSquid {
	b.Helper()
	listen := freeAddress(b)
	file := filepath.Join(b.TempDir(), "haproxy.cfg")
	// Its windows are as large as the sidecar's become. With those of its default, 64 KiB,
	// it needs a quarter more CPU time.
	config := fmt.Sprintf(`
global
    tune.h2.initial-window-size 524288
defaults
    mode http
    option http-no-delay
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    timeout tunnel 10m
listen machine
    bind %s
    server machine %s ssl crt %s ca-file %s verify required alpn h2
`, listen, c.address, c.tenantKeyFile, c.machineFile)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	return asSquid("floor", listen, startListening(b, listen, "haproxy", "-db", "-f", file))
}

// asSquid returns a relay as if it were a Squid with one tenant.
func asSquid(name, address string, process squidProcess) benchSquid {
	listen := netip.MustParseAddrPort(address)
	return benchSquid{name, process, Config{ListenAddress: listen.Addr()}, []v1alpha1.Tenant{newTenant("client-a", int32(listen.Port()))}}
}

// buildSidecar returns the path of the program, built as in its image.
func buildSidecar(b *testing.B) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "sidecar")
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "egress.scw/webhook/sidecar")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, output)
	}
	return program
}

func startChain(b *testing.B, squid benchSquid, program string) chain {
	b.Helper()
	if _, err := exec.LookPath("haproxy"); err != nil {
		b.Skip("skipped: there is no haproxy on this machine (Debian: apt install haproxy)")
	}
	folder := b.TempDir()
	write := func(name string, content []byte) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			b.Fatal(err)
		}
		return file
	}
	machine, machineKey := selfSigned(b, pkix.Name{CommonName: "egress-proxy"})
	tenant, tenantKey := selfSigned(b, pkix.Name{CommonName: squid.tenants[0].Name, Organization: []string{names.CertificateOrganization}})
	address, listen := freeAddress(b), freeAddress(b)
	config := fmt.Sprintf(`
global
    ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets
    tune.h2.max-concurrent-streams 1000
defaults
    mode http
    option http-no-delay
    http-reuse never
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    timeout tunnel 10m
frontend sidecars
    bind %s ssl crt %s ca-file %s verify required alpn h2,http/1.1
    default_backend squid
backend squid
    source %s
    server squid %s:%d
`, address, write("machine.pem", append(machine, machineKey...)), write("ca.pem", tenant), squid.proxy.ListenAddress, squid.proxy.ListenAddress, squid.tenants[0].Proxy.Port)
	file, err := sidecar.Marshal(&sidecar.Config{
		Tenant: squid.tenants[0].Name, Machines: []sidecar.Machine{{Address: netip.MustParseAddrPort(address), Certificate: string(machine)}},
	})
	if err != nil {
		b.Fatal(err)
	}
	write(names.SidecarConfigKey, file)
	write(names.SidecarCertificateKey, tenant)
	write(names.SidecarPrivateKeyKey, tenantKey)
	return chain{
		squid: squid, address: address,
		machineFile: write("machine-ca.pem", machine), tenantKeyFile: write("tenant.pem", append(tenant, tenantKey...)),
		haproxy: startListening(b, address, "haproxy", "-db", "-f", write("haproxy.cfg", []byte(config))),
		sidecar: asSquid("sidecar", listen, startListening(b, listen, program, "run", "--config", folder, "--listen", listen, "--metrics", freeAddress(b))),
	}
}

// startListening starts a program, and returns when it listens.
func startListening(b *testing.B, address, program string, args ...string) squidProcess {
	b.Helper()
	process := exec.CommandContext(context.WithoutCancel(b.Context()), program, args...)
	process.Env = append(os.Environ(), names.EnvPodNamespace+"=shop", names.EnvPodName+"=web-1")
	if err := process.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	for range 600 {
		if connection, err := new(net.Dialer).DialContext(b.Context(), "tcp", address); err == nil {
			connection.Close()
			return squidProcess{pid: process.Process.Pid}
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.Fatalf("%s does not listen", program)
	return squidProcess{}
}

// freeAddress returns a loopback address without a listener, on which no other program
// listens meanwhile.
func freeAddress(b *testing.B) string {
	b.Helper()
	address := fmt.Sprintf("127.75.%d.%d:0", mathrand.IntN(256), 1+mathrand.IntN(254))
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// selfSigned returns a certificate and its key in PEM.
func selfSigned(b *testing.B, subject pkix.Name) (certificate, key []byte) {
	b.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: subject, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		b.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		b.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
