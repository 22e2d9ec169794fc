package capture

import (
	"net/netip"
	"strings"
	"testing"
)

func TestKinds(t *testing.T) {
	t.Parallel()
	config := testConfig(443)
	config.Search = []string{"team.svc.cluster.local", "svc.cluster.local", "cluster.local", "Office.Example."}
	rules := newRules(config)
	label := strings.Repeat("a", 63)
	for name, want := range map[string]kind{
		"cluster.local": direct, "backend.orders.svc.cluster.local": direct, "API.Cluster.Local.": direct,
		"api.example.com.team.svc.cluster.local": direct, "_http._tcp.backend.orders.svc.cluster.local": direct,
		"corp.example": direct, "db.corp.example": direct, "notcorp.example": captured,
		"acluster.local": captured, "printer.local": captured,
		"localhost": loopback, "a.localhost": loopback, "localhost.example": captured,
		"5.0.32.10.in-addr.arpa": direct, "5.0.33.10.in-addr.arpa": unknown, "8.8.8.8.in-addr.arpa": unknown,
		"7.0.128.127.in-addr.arpa": reversed, "7.0.127.127.in-addr.arpa": unknown, "1.0.0.127.in-addr.arpa": unknown,
		"0.32.10.in-addr.arpa": unknown, "in-addr.arpa": unknown, "x.5.0.32.10.in-addr.arpa": unknown, "05.0.32.10.in-addr.arpa": unknown,
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.d.f.ip6.arpa": direct,
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.1.0.0.0.0.d.f.ip6.arpa": unknown,
		"1.0.ip6.arpa": unknown, "ip6.arpa": unknown, "10.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.d.f.ip6.arpa": unknown,
		"": unknown, "backend": unknown, "com": unknown, "backend.orders.svc": unknown, "svc": unknown, "notsvc.example": captured,
		"api.example.com": captured, "API.Example.COM.": captured, "backend.orders": captured, "xn--bcher-kva.example": captured,
		"my_bucket.s3.example": captured, "_dmarc.example.com": captured, label + "." + label + ".example": captured,
		"192.0.2.1": unknown, "example.1": unknown, "a.0x7f": unknown, `a\.b.example`: unknown, `b\195\188cher.example`: unknown,
		"bücher.example": unknown, "a b.example": unknown, `a\032b.example`: unknown, "-a.example": unknown, "a..example": unknown,
		"*.example": unknown, "a/b.example": unknown, "a:1.example": unknown, strings.Repeat(label+".", 3) + label: unknown, label + "a.example": unknown,
		"wiki.office.example": captured, "office.example": captured, "api.example.com.office.example": unknown, "a.wiki.office.example": unknown,
	} {
		if got := rules.kindOf(canonical(name)); got != want {
			t.Errorf("%q is of kind %d, want %d", name, got, want)
		}
	}
}

// TestReverseAddress: of every address, the name is parsed back.
func TestReverseAddress(t *testing.T) {
	t.Parallel()
	for text, name := range map[string]string{
		"192.0.2.1":     "1.2.0.192.in-addr.arpa",
		"2001:db8::567": "7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
	} {
		if got := reverseAddress(name); got != netip.MustParseAddr(text) {
			t.Errorf("%s is the name of %v, want %s", name, got, text)
		}
	}
}
