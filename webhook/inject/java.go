package inject

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// javaOption is an option of the Java VM that sets a system property.
type javaOption struct{ property, value string }

func (o javaOption) String() string { return o.property + o.value }

// The properties of Java's HTTP clients. nonProxyHosts of http serve https too.
const (
	javaHTTPHost      = "-Dhttp.proxyHost="
	javaHTTPPort      = "-Dhttp.proxyPort="
	javaHTTPSHost     = "-Dhttps.proxyHost="
	javaHTTPSPort     = "-Dhttps.proxyPort="
	javaNonProxyHosts = "-Dhttp.nonProxyHosts="
)

// javaGroups are properties that belong together: a container that sets one of a
// group sets them all.
func javaGroups() [][]string {
	return [][]string{{javaHTTPHost, javaHTTPPort}, {javaHTTPSHost, javaHTTPSPort}, {javaNonProxyHosts}}
}

// javaOptions returns the options for a proxy (http://HOST:PORT) and the entries of
// NO_PROXY. They contain no white space and no quotes, at which the VM splits them.
func javaOptions(proxyURL string, noProxy []string) []javaOption {
	host, port, err := net.SplitHostPort(strings.TrimPrefix(proxyURL, "http://"))
	if err != nil {
		return nil // not one of ours
	}
	return []javaOption{
		{javaHTTPHost, host},
		{javaHTTPPort, port},
		{javaHTTPSHost, host},
		{javaHTTPSPort, port},
		{javaNonProxyHosts, nonProxyHosts(noProxy)},
	}
}

// addJavaOptions returns a container's own JAVA_TOOL_OPTIONS, followed by the options
// whose group it does not set. The VM takes the last of two options for one property,
// so that the own one must be the only one.
func addJavaOptions(own string, options []javaOption) string {
	added := []string{}
	if own = strings.TrimRight(own, javaSpace); own != "" {
		added = append(added, own)
	}
	for _, option := range options {
		if !setsGroup(own, option.property) {
			added = append(added, option.String())
		}
	}
	return strings.Join(added, " ")
}

// javaSpace is the white space at which the VM splits JAVA_TOOL_OPTIONS.
const javaSpace = " \t\n\v\f\r"

// setsGroup reports whether a value sets a property of the same group.
func setsGroup(own, property string) bool {
	for _, group := range javaGroups() {
		if slices.Contains(group, property) {
			return slices.ContainsFunc(group, func(member string) bool { return strings.Contains(own, member) })
		}
	}
	return false
}

// maxRangeBytes bounds the part of nonProxyHosts that stands for ranges: a range of
// 100.64.0.0/10 takes 575 bytes of it. Ranges that do not fit are left out.
const maxRangeBytes = 2048

// nonProxyHosts returns entries of NO_PROXY in the syntax of Java's
// http.nonProxyHosts: names and addresses separated by "|", with an asterisk at the
// beginning or the end of one. Java knows no ranges, so they become the names that
// begin with their bytes. Addresses within them are left out.
func nonProxyHosts(entries []string) string {
	var ranges []netip.Prefix
	var patterns []string
	room := maxRangeBytes
	for _, entry := range entries {
		prefix, err := netip.ParsePrefix(entry)
		if err != nil || !prefix.Addr().Is4() || prefix.Bits() == 0 {
			continue
		}
		text := strings.Join(rangePatterns(prefix.Masked()), "|")
		if room -= len(text) + 1; room < 0 {
			break
		}
		ranges, patterns = append(ranges, prefix), append(patterns, text)
	}
	var hosts []string
	for _, entry := range entries {
		address, err := netip.ParseAddr(entry)
		switch {
		case err == nil && address.Is6():
			hosts = append(hosts, "["+entry+"]") // as in a URL
		case err == nil:
			if !slices.ContainsFunc(ranges, func(within netip.Prefix) bool { return within.Contains(address) }) {
				hosts = append(hosts, entry)
			}
		case strings.Contains(entry, "/"):
		case strings.HasPrefix(entry, "."):
			hosts = append(hosts, "*"+entry)
		default:
			hosts = append(hosts, entry)
		}
	}
	return strings.Join(append(hosts, patterns...), "|")
}

// rangePatterns returns a range of IPv4 addresses, of at least one bit, as patterns
// of whole bytes: 10.0.0.0/8 is 10.*, and 172.16.0.0/22 is 172.16.0.* to 172.16.3.*.
func rangePatterns(prefix netip.Prefix) []string {
	address, whole := prefix.Addr().As4(), (prefix.Bits()-1)/8 // bytes before the last one that is fixed
	var fixed strings.Builder
	for _, value := range address[:whole] {
		fixed.WriteString(strconv.Itoa(int(value)) + ".")
	}
	end := ".*"
	if whole == len(address)-1 {
		end = ""
	}
	first, count := int(address[whole]), 1<<(8*(whole+1)-prefix.Bits())
	patterns := make([]string, 0, count)
	for value := first; value < first+count; value++ {
		patterns = append(patterns, fixed.String()+strconv.Itoa(value)+end)
	}
	return patterns
}
