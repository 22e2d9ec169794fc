package inject

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"egress.scw/webhook/api/noproxy"
)

// TestNonProxyHosts: names and addresses are written as Java reads them.
func TestNonProxyHosts(t *testing.T) {
	t.Parallel()
	for entries, want := range map[string]string{
		"":                               "",
		"localhost,example.com":          "localhost|example.com",
		".example.com,.cluster.local.":   "*.example.com|*.cluster.local.",
		"127.0.0.1,::1,2001:db8:10::1":   "127.0.0.1|[::1]|[2001:db8:10::1]",
		"10.0.0.0/8":                     "10.*",
		"172.16.0.0/12":                  "172.16.*|172.17.*|172.18.*|172.19.*|172.20.*|172.21.*|172.22.*|172.23.*|172.24.*|172.25.*|172.26.*|172.27.*|172.28.*|172.29.*|172.30.*|172.31.*",
		"172.16.28.0/22":                 "172.16.28.*|172.16.29.*|172.16.30.*|172.16.31.*",
		"192.168.1.0/24":                 "192.168.1.*",
		"192.168.1.252/30":               "192.168.1.252|192.168.1.253|192.168.1.254|192.168.1.255",
		"192.168.1.7/32":                 "192.168.1.7",
		"0.0.0.0/1":                      strings.TrimSuffix(strings.Repeat("%d.*|", 128), "|"),
		"0.0.0.0/0,fd00::/8":             "",
		"10.1.2.3,a,10.0.0.0/8,11.1.1.1": "a|11.1.1.1|10.*",
	} {
		if strings.Contains(want, "%d") {
			var numbers []any
			for i := range 128 {
				numbers = append(numbers, i)
			}
			want = fmt.Sprintf(want, numbers...)
		}
		if got := nonProxyHosts(strings.Split(entries, ",")); got != want {
			t.Errorf("%s:\n%s, want\n%s", entries, got, want)
		}
	}
}

// TestRangePatterns: the patterns match exactly the addresses of the range, as Java
// compares them.
func TestRangePatterns(t *testing.T) {
	t.Parallel()
	for bits := 1; bits <= 32; bits++ {
		prefix := netip.PrefixFrom(netip.MustParseAddr("172.17.213.90"), bits).Masked()
		var alternatives []string
		for _, pattern := range rangePatterns(prefix) {
			alternatives = append(alternatives, strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*"))
		}
		matches := regexp.MustCompile("^(" + strings.Join(alternatives, "|") + ")$")
		first := prefix.Addr()
		last := first.As4()
		for i := bits; i < 32; i++ {
			last[i/8] |= 1 << (7 - i%8)
		}
		for _, address := range []netip.Addr{first, first.Prev(), netip.AddrFrom4(last), netip.AddrFrom4(last).Next(), netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("172.17.213.90")} {
			if !address.IsValid() {
				continue
			}
			if got, want := matches.MatchString(address.String()), prefix.Contains(address); got != want {
				t.Errorf("%s: %s matches: %t, want %t", prefix, address, got, want)
			}
		}
	}
}

// TestNonProxyHostsIsBounded: ranges, of which each may become 128 patterns, do not
// make the value much longer than NO_PROXY.
func TestNonProxyHostsIsBounded(t *testing.T) {
	t.Parallel()
	var entries []string
	for bytes := 0; bytes < noproxy.MaxBytes; bytes += len("10.0.128.0/17,") {
		entries = append(entries, fmt.Sprintf("10.%d.128.0/17", len(entries)%256))
	}
	if got := len(nonProxyHosts(entries)); got > maxRangeBytes {
		t.Errorf("%d bytes", got)
	}
	names := strings.Split(strings.TrimSuffix(strings.Repeat(".a,", noproxy.MaxBytes/3), ","), ",")
	if got := len(nonProxyHosts(names)); got > 2*noproxy.MaxBytes {
		t.Errorf("%d bytes", got)
	}
}

// TestJavaOptionsHaveGroups: every property is in a group.
func TestJavaOptionsHaveGroups(t *testing.T) {
	t.Parallel()
	for _, option := range javaOptions("http://[2001:db8::8]:3129", []string{"a"}) {
		if !setsGroup(option.String(), option.property) {
			t.Errorf("%s is in no group", option)
		}
	}
	if got := addJavaOptions("", javaOptions("http://[2001:db8::8]:3129", []string{"a", "::1"})); got != "-Dhttp.proxyHost=2001:db8::8 -Dhttp.proxyPort=3129 -Dhttps.proxyHost=2001:db8::8 -Dhttps.proxyPort=3129 -Dhttp.nonProxyHosts=a|[::1]" {
		t.Errorf("options for an IPv6 proxy: %s", got)
	}
}
