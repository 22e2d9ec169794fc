package inject

import (
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"egress.scw/webhook/api/v1alpha1"
)

// maxNoProxyBytes bounds what is put into NO_PROXY. Every process of the pod
// carries it twice, and clients walk it for every request.
const maxNoProxyBytes = 4096

// noProxyList collects NO_PROXY entries: in the order in which they were
// added, each once. The lists are short enough to be searched.
type noProxyList struct {
	entries []string
	bytes   int // of the entries joined by commas
}

func (l *noProxyList) add(entries ...string) {
	for _, entry := range entries {
		if slices.Contains(l.entries, entry) {
			continue
		}
		if len(l.entries) > 0 {
			l.bytes++
		}
		l.entries = append(l.entries, entry)
		l.bytes += len(entry)
	}
}

// addName adds a domain in both forms: to some clients "x" is x alone (Node,
// .NET, Java), to others ".x" is only what lies below it (Go, wget, Ruby).
func (l *noProxyList) addName(name string) {
	l.add(name, "."+name)
}

func (l *noProxyList) addEntry(entry v1alpha1.NoProxyEntry) {
	if entry.IsName() {
		l.addName(entry.String())
		return
	}
	l.add(entry.String())
}

// coversPublicHosts says whether the entry would make clients bypass the proxy
// for hosts that have nothing in common but a registry, or for all of them.
func coversPublicHosts(entry v1alpha1.NoProxyEntry) bool {
	if entry.IsName() {
		return isPublicSuffix(entry.String())
	}
	return strings.HasSuffix(entry.String(), "/0")
}

// isPublicSuffix says whether anyone may register names directly below this
// one: "com", "app", "co.uk", "github.io".
func isPublicSuffix(name string) bool {
	if listedSuffix(name) {
		return true
	}
	// "*.pg" is how the list writes a domain below which every name is a public
	// suffix. It has no rule for "pg" itself, which covers even more.
	return listedSuffix("x." + name)
}

// listedSuffix says whether the name is a suffix by a rule of the list rather
// than by its default, which takes any unknown top-level domain ("svc",
// "team-a") for one.
func listedSuffix(name string) bool {
	suffix, icann := publicsuffix.PublicSuffix(name)
	return suffix == name && (icann || strings.Contains(suffix, "."))
}

// mergeNoProxy returns a container's own NO_PROXY with those of our entries
// that it lacks at its end.
func mergeNoProxy(own string, ours []string) string {
	if strings.TrimSpace(own) == "*" {
		// No proxy at all. Beside other entries curl would not understand it.
		return own
	}
	missing := make(map[string]bool, len(ours))
	for _, entry := range ours {
		missing[entry] = true
	}
	for entry := range strings.FieldsFuncSeq(own, isNoProxySeparator) {
		delete(missing, strings.ToLower(entry))
	}
	if len(missing) == 0 {
		return own
	}
	var merged strings.Builder
	merged.WriteString(strings.TrimRightFunc(own, isNoProxySeparator))
	for _, entry := range ours {
		if !missing[entry] {
			continue
		}
		if merged.Len() > 0 {
			merged.WriteByte(',')
		}
		merged.WriteString(entry)
	}
	return merged.String()
}

// isNoProxySeparator is generous: curl takes blanks for commas.
func isNoProxySeparator(r rune) bool {
	return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r'
}
