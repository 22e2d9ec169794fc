package v1alpha1

import (
	"testing"

	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/policy"
)

// FuzzSchemaAcceptsDomains: the API server's schema accepts every entry that
// ParseDomain accepts.
func FuzzSchemaAcceptsDomains(f *testing.F) {
	for _, text := range []string{"api.github.com", ".Example.com.", "bücher.example", "*.x", "[::1]", "0x7f.1", "a\nb", `"a"`, `a\`, "#", "-a", "a。b", "ß.example", "xn--a", "١.example", "①.1", "my_bucket.example", "_a.example"} {
		f.Add(text)
	}
	schema := specSchema(f).Properties["allow"].Properties["domains"].Items
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := policy.ParseDomain(text); err == nil && !schema.accepts(text) {
			t.Errorf("the schema refuses %q", text)
		}
	})
}

// FuzzSchemaAcceptsNoProxy: the same for entries of NO_PROXY.
func FuzzSchemaAcceptsNoProxy(f *testing.F) {
	for _, text := range []string{
		"", ".", "*", "192.0.2.1", "::1", "[::1]", "fe80::1%eth0", "::ffff:192.0.2.1", "10.0.0.0/8", "::ffff:0:0/96",
		"example.com", ".Example.COM.", "bücher.example", "xn--bcher-kva.example", "ｅｘａｍｐｌｅ．com", "r3---sn.example",
		"0x7f000001", "017700000001", "2130706433", "１２７.1", "a,b", `"a"`, "a\nb", "a\u00adb.example", "\u200d.example", "faß.de", "א.example", "my_bucket.example", "_a.example",
	} {
		f.Add(text)
	}
	schema := specSchema(f).Properties["noProxy"].Items
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := noproxy.Parse(text); err == nil && !schema.accepts(text) {
			t.Errorf("the schema refuses %q", text)
		}
	})
}
