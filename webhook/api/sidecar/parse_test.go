package sidecar

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gotest.tools/v3/golden"
)

// fixture is the golden file, the format that sidecars of released versions read.
func fixture(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/config.json")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestFormatIsStable: the golden file is read, and written again as it is.
func TestFormatIsStable(t *testing.T) {
	t.Parallel()
	config, err := Parse(fixture(t))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Tenant: "client-a",
		Machines: []Machine{
			{Address: netip.MustParseAddrPort("172.16.28.8:3443")},
			{Address: netip.MustParseAddrPort("[fd00::8]:3443")},
		},
		Capture: &Capture{
			Ports: []uint16{80, 443, 5432}, ClusterDomain: "cluster.local",
			Resolvers: []netip.AddrPort{netip.MustParseAddrPort("10.32.0.10:53")},
			Direct:    []string{"corp.example"},
			Ranges:    []netip.Prefix{netip.MustParsePrefix("10.32.0.0/20"), netip.MustParsePrefix("fd00:10::/64")},
		},
	}
	if diff := cmp.Diff(want, config, cmpopts.EquateComparable(netip.AddrPort{}, netip.Prefix{}), cmpopts.IgnoreFields(Machine{}, "Certificate")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for i, count := range []int{1, 2} {
		if certificates, err := ParseCertificates(config.Machines[i].Certificate); err != nil || len(certificates) != count {
			t.Errorf("machine %d has %d certificates, %v, want %d", i, len(certificates), err, count)
		}
	}
	written, err := Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	golden.Assert(t, string(written), "config.json")
}

// TestErrors: all errors of a file are returned at once, each with its path.
func TestErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, want string }{
		"no JSON":      {`{"tenant": `, "is not JSON: unexpected end of JSON input"},
		"text behind":  {`{} {}`, "is not JSON: invalid character '{' after top-level value"},
		"no object":    {`[]`, "must be an object"},
		"null":         {`null`, "must be an object"},
		"empty object": {`{}`, "tenant is missing\nmachines is missing"},
		"fields": {
			`{"Tenant": "a", "tenant": "A", "tenant": "b", "machines": [], "capture": null}`,
			"\"Tenant\" is not a field\n" +
				"tenant must be the name of an EgressTenant: at most 63 lower-case letters, digits and hyphens, not \"A\"\n" +
				"tenant is there twice\n" +
				"machines has 0 items; between 1 and 16 are valid\n" +
				"capture must be an object",
		},
		"machines": {
			`{"tenant": "a.b", "machines": [{}, null, {"address": "proxy:3443", "certificate": ""}, {"address": 1, "certificate": "x", "weight": 2},
			{"address": "0.0.0.0:3443", "certificate": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"},
			{"address": "010.0.0.1:1", "certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}, {"address": "[FD00::1]:1", "certificate": null}]}`,
			"tenant must be the name of an EgressTenant: at most 63 lower-case letters, digits and hyphens, not \"a.b\"\n" +
				"machines[0].address is missing\n" +
				"machines[0].certificate is missing\n" +
				"machines[1] must be an object\n" +
				"machines[2].address must be an address and a port, such as 172.16.28.8:3443, not \"proxy:3443\"\n" +
				"machines[2].certificate must be a certificate in PEM, and is empty\n" +
				"machines[3].address must be a string\n" +
				"machines[3].certificate must be a certificate in PEM, with no other text behind it\n" +
				"machines[3].\"weight\" is not a field\n" +
				"machines[4].address must be an address and a port, such as 172.16.28.8:3443, not \"0.0.0.0:3443\"\n" +
				"machines[4].certificate must be a certificate in PEM, not \"PRIVATE KEY\"\n" +
				"machines[5].address must be an address and a port, such as 172.16.28.8:3443, not \"010.0.0.1:1\"\n" +
				"machines[5].certificate has a certificate that cannot be read: x509: malformed certificate\n" +
				"machines[6].address must be \"[fd00::1]:1\", the usual form of \"[FD00::1]:1\"\n" +
				"machines[6].certificate must be a string",
		},
		"capture": {
			`{"tenant": "a", "machines": 1, "capture": {"ports": [80, 80, 0, 65536, 53, "443", 1.5], "clusterDomain": "Cluster.Local", "resolvers": ["10.0.0.10"],
			"direct": ["a.example", "*.example", "a.example"], "ranges": ["10.0.0.1/8", "fd00:10::/64", "10.0.0.1"]}}`,
			"machines must be a list\n" +
				"capture.ports[1] is a second 80\n" +
				"capture.ports[2] must be a port between 1 and 65535\n" +
				"capture.ports[3] must be a port between 1 and 65535\n" +
				"capture.ports[4] must not be 53, which the proxy forbids to every tenant\n" +
				"capture.ports[5] must be a port between 1 and 65535\n" +
				"capture.ports[6] must be a port between 1 and 65535\n" +
				"capture.clusterDomain must be \"cluster.local\", the normal form of \"Cluster.Local\"\n" +
				"capture.resolvers[0] must be an address and a port, such as 172.16.28.8:3443, not \"10.0.0.10\"\n" +
				"capture.direct[1] \"*.example\" is not a domain name: its labels may contain letters, digits, underscores and hyphens, and must not begin or end with a hyphen\n" +
				"capture.direct[2] is a second a.example\n" +
				"capture.ranges[0] must be a range of addresses without host bits, such as 10.32.0.0/20, not \"10.0.0.1/8\"\n" +
				"capture.ranges[2] must be a range of addresses without host bits, such as 10.32.0.0/20, not \"10.0.0.1\"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if config, err := Parse([]byte(c.file)); err == nil || config != nil {
				t.Errorf("%+v, accepted", config)
			} else if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestMachinesDiffer: two machines with one address are an error.
func TestMachinesDiffer(t *testing.T) {
	t.Parallel()
	same := bytes.Replace(fixture(t), []byte("[fd00::8]:3443"), []byte("172.16.28.8:3443"), 1)
	if _, err := Parse(same); err == nil || err.Error() != "machines[1].address is the address of another machine too: 172.16.28.8:3443" {
		t.Error(err)
	}
}

// TestMarshalChecks: a file that Parse refuses is not written.
func TestMarshalChecks(t *testing.T) {
	t.Parallel()
	if data, err := Marshal(&Config{Tenant: "client-a"}); err == nil || err.Error() != "machines must be a list" {
		t.Errorf("%s, %v", data, err)
	}
}

// TestLargestFile: a file of the largest numbers and certificates of usual size, with
// 4096-bit RSA keys, is within MaxBytes.
func TestLargestFile(t *testing.T) {
	t.Parallel()
	const rsa4096 = 2600 // bytes of PEM
	text := certificateOf(t, rsa4096)
	config := &Config{Tenant: strings.Repeat("a", maxTenant)}
	for i := range MaxMachines {
		config.Machines = append(config.Machines, Machine{
			Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{172, 16, 28, byte(i)}), 3443), Certificate: strings.Repeat(text, MaxCertificates),
		})
	}
	if _, err := Marshal(config); err != nil {
		t.Error(err)
	}
	config.Machines[0].Certificate = strings.Repeat(text, MaxCertificates+1)
	if _, err := Marshal(config); err == nil || err.Error() != "machines[0].certificate has more than 2 certificates" {
		t.Error(err)
	}
	if _, err := Parse(bytes.Repeat([]byte(" "), MaxBytes+1)); err == nil || err.Error() != "has 131073 bytes, more than 131072" {
		t.Error(err)
	}
}

// certificateOf returns a certificate of at least this many bytes in PEM.
func certificateOf(t testing.TB, size int) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{strings.Repeat("a", size*3/4)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// FuzzParse: a file that is accepted is written and read as the same one.
func FuzzParse(f *testing.F) {
	f.Add(fixture(f))
	f.Add([]byte(`{"tenant": "a", "machines": [{"address": "10.0.0.1:1", "certificate": ""}], "capture": {"ports": [1], "clusterDomain": "a", "resolvers": ["[::1]:53"]}}`))
	f.Add([]byte(`{"tenant": {"tenant": [[[]]]}, "machines": [[{}], 1e999, null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := Parse(data)
		if err != nil {
			return
		}
		written, err := Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(written)
		if err != nil {
			t.Fatal(err)
		}
		one, _ := json.Marshal(config)
		two, _ := json.Marshal(again)
		if !bytes.Equal(one, two) {
			t.Errorf("%s was read again as %s", one, two)
		}
	})
}
