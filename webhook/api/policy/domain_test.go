package policy

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDomain(t *testing.T) {
	t.Parallel()
	label := strings.Repeat("a", 63)
	longest := label + "." + label + "." + label + "." + strings.Repeat("b", 61)
	for text, want := range map[string]string{
		"api.github.com": "api.github.com", ".example.com": ".example.com", "API.GitHub.Com": "api.github.com",
		"example.com.": "example.com", ".example.com.": ".example.com", "bücher.example": "xn--bcher-kva.example",
		".BÜCHER.example": ".xn--bcher-kva.example", "xn--bcher-kva.example": "xn--bcher-kva.example", "example。com": "example.com",
		"r3---sn-apo3qvuox.example": "r3---sn-apo3qvuox.example", "com": "com", "intranet": "intranet", ".internal": ".internal",
		".test": ".test", ".github.io": ".github.io", ".s3.amazonaws.com": ".s3.amazonaws.com", ".city.kawasaki.jp": ".city.kawasaki.jp", "np": "np", "1.example": "1.example",
		"my_bucket.s3.fr-par.scw.cloud": "my_bucket.s3.fr-par.scw.cloud", "._domainkey.Example": "._domainkey.example",
		longest: longest, "." + longest + ".": "." + longest,
	} {
		domain, err := ParseDomain(text)
		if err != nil || domain.String() != want {
			t.Errorf("%q is %q (%v), want %q", text, domain, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "is empty", ".": "is not a domain name", "..": "is not a domain name", "a..b": "is not a domain name", "..example.com": "is not a domain name", "example.com..": "is not a domain name",
		"*.example.com": "write .example.com", "*": "write .example.com", "ex*mple.com": "write .example.com",
		"https://example.com": "without scheme", "example.com:443": "without scheme", "example.com/a": "without scheme", "[example.com]": "is not a domain name",
		".com": "is a public suffix", ".co.uk": "is a public suffix", ".COM.": "is a public suffix", ".xn--p1ai": "is a public suffix", ".рф": "is a public suffix",
		".np": "is a public suffix", ".com.np": "is a public suffix", ".kawasaki.jp": "is a public suffix",
		"192.0.2.1": "is an IP address", "192.0.2.1.": "is an IP address", "192.0.2": "is an IP address", "3221225985": "is an IP address", "0xC0000201": "is an IP address", "0300.0.2.1": "is an IP address",
		"2001:db8::1": "is an IP address", "[2001:db8::1]": "is an IP address", "::ffff:192.0.2.1": "is an IP address", "192.0.2.0/24": "without scheme",
		".192.0.2.1": "ends in a number", "example.1": "ends in a number", "a.0x1f": "ends in a number", "1.2.3.4.5": "ends in a number", "999.1.1.1": "ends in a number", "１92.0.2.1": "ends in a number",
		"a b.example": "white space", "a.example\n": "white space", "a.example\r\nhttp_access allow all": "white space", "\ta.example": "white space", "a\x00b": "white space",
		`"/etc/passwd"`: "without scheme", `"a"`: "is not a domain name", `a.example\`: "is not a domain name", "#a": "is not a domain name", "a#b": "is not a domain name", "-n": "is not a domain name", "-a.example": "is not a domain name",
		"a,b": "is not a domain name", "a%b": "is not a domain name", "${x}": "is not a domain name", "a@b": "is not a domain name", "a\xff": "is not a valid string",
		label + "a.example": "is not a domain name", "c" + longest: "is not a domain name", strings.Repeat("a", 256): "at most 255 characters",
		"\u2028a": "is not a domain name",
	} {
		if domain, err := ParseDomain(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %q (%v), want an error with %q", text, domain, err, want)
		}
	}
}

func TestMergeDomains(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ domains, want string }{
		{"", ""},
		{"b.example a.example", "a.example b.example"},
		{"example.com .example.com", ".example.com"},
		{".example.com example.com www.example.com .a.b.example.com", ".example.com"},
		{".a.example.com example.com", ".a.example.com example.com"},
		{"a.example a.example", "a.example"},
		{".example.com badexample.com example.com.test", "badexample.com .example.com example.com.test"},
		{".test a.test .b.test c.d.test x.other", ".test x.other"},
	} {
		var domains []Domain
		for text := range strings.FieldsSeq(test.domains) {
			domain, err := ParseDomain(text)
			if err != nil {
				t.Fatal(err)
			}
			domains = append(domains, domain)
		}
		var got []string
		for _, domain := range MergeDomains(domains) {
			got = append(got, domain.String())
		}
		if diff := cmp.Diff(test.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.domains, diff)
		}
	}
}

// FuzzParseDomain: the normal form contains no character that is special to Squid,
// and parses to itself.
func FuzzParseDomain(f *testing.F) {
	for _, text := range []string{"api.github.com", ".Example.com.", "bücher.example", "*.x", "[::1]", "0x7f.1", "a\nb", `"a"`, `a\`, "#", "-a", "a。b", "ß.example", "xn--a", "١.example", "①.1", "_", "a_b.example"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		domain, err := ParseDomain(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") && !strings.Contains(text, "\n") {
				t.Errorf("%q: an error of two lines: %v", text, err)
			}
			return
		}
		normal := domain.String()
		if strings.Trim(normal, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" || strings.HasPrefix(normal, "-") || strings.HasSuffix(normal, ".") || len(normal) > 254 {
			t.Errorf("%q is %q", text, normal)
		}
		again, err := ParseDomain(normal)
		if err != nil || again != domain {
			t.Errorf("%q is %q, which is %q (%v)", text, normal, again, err)
		}
		if parseAddress(strings.TrimPrefix(normal, ".")).IsValid() {
			t.Errorf("%q is an address", text)
		}
	})
}
