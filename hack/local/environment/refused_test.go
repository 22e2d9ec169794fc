package environment

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"egress.scw/hack/local/process"
)

func TestRefused(t *testing.T) {
	e := &Environment{processes: process.Environment(t.TempDir())}
	name := e.processes.LogFile("netpol")
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	const log = `{"level":"INFO","msg":"enforcing NetworkPolicies","node":"node1","pods":"10.244.0.0/24"}
{"level":"INFO","msg":"refused","packet":{"Family":"IPv4","SrcIP":"10.244.0.10","DstIP":"192.0.2.11","Proto":"TCP","SrcPort":39432,"DstPort":80},"error":null}
{"level":"INFO","msg":"refused","packet":{"Family":"IPv4","SrcIP":"10.244.0.10","DstIP":"192.0.2.11","Proto":"TCP","SrcPort":39432,"DstPort":443},"error":null}
{"level":"INFO","msg":"refused","packet":{"Fam`
	if err := os.WriteFile(name, []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	if count, err := e.Refused(netip.MustParseAddrPort("192.0.2.11:80")); err != nil || count != 1 {
		t.Errorf("%d, %v; want 1", count, err)
	}
}
