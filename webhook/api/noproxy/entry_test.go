package noproxy

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

func TestParse(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat(strings.Repeat("a", 62)+".", 4) + "b"
	for text, want := range map[string]string{
		"192.0.2.1":                  "192.0.2.1",
		"::1":                        "::1",
		"[::1]":                      "::1",
		"2001:DB8:0:0::1":            "2001:db8::1",
		"::ffff:192.0.2.1":           "192.0.2.1",
		"[::ffff:c000:201]":          "192.0.2.1",
		"10.0.0.0/8":                 "10.0.0.0/8",
		"10.1.2.3/8":                 "10.0.0.0/8",
		"192.0.2.1/32":               "192.0.2.1/32",
		"2001:DB8::1/32":             "2001:db8::/32",
		"2001:DB8::1/128":            "2001:db8::1",
		"::ffff:10.1.2.3/104":        "10.0.0.0/8",
		"::ffff:0:0/96":              "0.0.0.0/0",
		"::ffff:10.1.2.3/95":         "::fffe:0:0/95",
		"example.com":                "example.com",
		".example.com":               "example.com",
		"example.com.":               "example.com",
		".Example.COM.":              "example.com",
		"intranet":                   "intranet",
		"a--b.c---d.example":         "a--b.c---d.example",
		"bücher.example":             "xn--bcher-kva.example",
		"BÜCHER.example":             "xn--bcher-kva.example",
		"xn--bcher-kva.example":      "xn--bcher-kva.example",
		"straße.example":             "xn--strae-oqa.example",
		"ｅｘａｍｐｌｅ．com":                "example.com",
		"1.example":                  "1.example",
		"my_bucket.example":          "my_bucket.example",
		"127.0.0.1.nip.io":           "127.0.0.1.nip.io",
		"0x7f.example":               "0x7f.example",
		"0xcafe-bar":                 "0xcafe-bar",
		strings.Repeat("a", 63):      strings.Repeat("a", 63),
		longest:                      longest,
		strings.Repeat("ü", 9) + ".": "xn--" + "tdaaaaaaaaa",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			entry, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if entry.String() != want {
				t.Errorf("read as %q, want %q", entry, want)
			}
			_, noAddress := netip.ParseAddr(want)
			_, noPrefix := netip.ParsePrefix(want)
			if isName := noAddress != nil && noPrefix != nil; entry.IsName() != isName {
				t.Errorf("a name: %t, want %t", entry.IsName(), isName)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const noName, number = "is not a domain name", "ends in a number"
	for text, want := range map[string]string{
		"":                               "is empty",
		" ":                              "white space or control characters",
		"a.example b.example":            "white space or control characters",
		"a.example\n":                    "white space or control characters",
		"a.example\x00":                  "white space or control characters",
		"a\u00a0b.example":               noName,
		"a\u2028b.example":               noName,
		"a.example,b.example":            noName,
		"*":                              `contains "*"`,
		"*.example.com":                  `contains "*"`,
		"http://proxy.example":           "without scheme, port and path",
		"example.com:8080":               "without scheme, port and path",
		"example.com/path":               "without scheme, port and path",
		"192.0.2.1:8080":                 "without scheme, port and path",
		"[::1]:8080":                     "without scheme, port and path",
		"[::1":                           "without scheme, port and path",
		"::1]":                           "without scheme, port and path",
		"[::1]/128":                      "without scheme, port and path",
		"192.0.2.0/33":                   "without scheme, port and path",
		"192.0.2.0/255.255.255.0":        "without scheme, port and path",
		"fe80::1%eth0/64":                "has a zone",
		"fe80::1%eth0":                   "has a zone",
		"[fe80::1%eth0]":                 "has a zone",
		"192.0.2.1%eth0":                 noName,
		"[192.0.2.1]":                    noName,
		".":                              noName,
		"..":                             noName,
		"..example.com":                  noName,
		"example.com..":                  noName,
		"a..example":                     noName,
		"-a.example":                     noName,
		"a-.example":                     noName,
		`"a.example"`:                    noName,
		`a.example'`:                     noName,
		`a\b.example`:                    noName,
		"$(HTTP_PROXY)":                  noName,
		"xn--a.example":                  noName, // not punycode
		"xn--abc-.example":               noName, // punycode of plain ASCII
		"\xff.example":                   "is not a valid string",
		strings.Repeat("a", 64):          noName,
		strings.Repeat("ü", 60):          noName, // 63 bytes at most in punycode, too
		strings.Repeat("a.", 126) + "ab": "at most 253 characters",
		strings.Repeat("\u00ad", 254):    "at most 253 characters", // soft hyphens, which IDNA drops
		"2130706433":                     number,
		"017700000001":                   number,
		"0x7f000001":                     number,
		"0X7F000001":                     number,
		"0x7f.1":                         number,
		"0x7f.0.0.0x1":                   number,
		"127.1":                          number,
		"127.0.0.1.":                     number,
		".127.0.0.1":                     number,
		"127.0.0.256":                    number,
		"127.0.0.01":                     number,
		"１２７.０.０.１":                      number, // full width
		"example.0x":                     number,
		"example.7":                      number,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			entry, err := Parse(text)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want %q in it", err, want)
			}
			if entry != (Entry{}) {
				t.Errorf("an entry despite the error: %q", entry)
			}
		})
	}
}

// FuzzParse: each accepted entry has one normal form, which is safe in a
// comma-separated list and in an environment variable.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"", ".", "*", "192.0.2.1", "::1", "[::1]", "fe80::1%eth0", "::ffff:192.0.2.1", "10.0.0.0/8", "::ffff:0:0/96",
		"example.com", ".Example.COM.", "bücher.example", "xn--bcher-kva.example", "ｅｘａｍｐｌｅ．com", "r3---sn.example",
		"0x7f000001", "017700000001", "2130706433", "１２７.1", "a,b", `"a"`, "a\nb", "a\u00adb.example", "\u200d.example", "faß.de", "א.example",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		entry, err := Parse(text)
		if err != nil {
			if entry != (Entry{}) || err.Error() == "" {
				t.Errorf("%q: entry %q with error %q", text, entry, err)
			}
			return
		}
		normal := entry.String()
		if again, err := Parse(normal); again != entry {
			t.Errorf("%q is read as %q, and that as %q (%v)", text, normal, again, err)
		}
		if normal == "" || strings.ContainsFunc(normal, unsafeInList) || strings.Trim(normal, ".") != normal {
			t.Errorf("%q has the normal form %q", text, normal)
		}
		if entry.IsName() {
			checkNormalName(t, normal)
		}
	})
}

func unsafeInList(r rune) bool {
	return r > unicode.MaxASCII || unicode.IsSpace(r) || unicode.IsControl(r) || unicode.IsUpper(r) || strings.ContainsRune("*,;\"'`\\$%[]", r)
}

// checkNormalName fails if a client could read the name as an address.
func checkNormalName(t *testing.T, name string) {
	t.Helper()
	last := name[strings.LastIndexByte(name, '.')+1:]
	if regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`).MatchString(last) || strings.Contains(name, ":") {
		t.Errorf("%q is read as a name", name)
	}
	if len(name) > 253 {
		t.Errorf("a name of %d bytes", len(name))
	}
}
