package noproxy

import "slices"

// MaxBytes bounds NO_PROXY, as a whole. Every process of the pod carries it
// twice, and clients walk it for every request.
const MaxBytes = 4096

// List collects entries of NO_PROXY in the order in which they were added, each
// once. Lists are short, so that duplicates are found by linear search.
type List struct {
	entries []string
	bytes   int // of the entries joined by commas
}

// NewList returns an empty list with room for capacity entries.
func NewList(capacity int) List { return List{entries: make([]string, 0, capacity)} }

// Entries returns the entries in their order. The caller must not change them.
func (l *List) Entries() []string { return l.entries }

// Bytes returns the length of the entries when joined by commas.
func (l *List) Bytes() int { return l.bytes }

// Clone returns a copy. Adding to the copy does not change the original, even if
// several goroutines clone the same list.
func (l *List) Clone() List { return List{slices.Clip(l.entries), l.bytes} }

// Add adds entries as written.
func (l *List) Add(entries ...string) {
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

// AddName adds a domain in both forms, "x" and ".x": for some clients "x" does not
// cover the names below x (Node, .NET, Java), for others ".x" does not cover x
// itself (Go, wget, Ruby).
func (l *List) AddName(name string) {
	l.Add(name, "."+name)
}

// AddBelow adds the names below a domain, without the domain itself. A dozen
// clients (requests, gRPC, apt) compare "x" without regard to labels: for them, an
// entry "rg" covers example.org. They do not confuse ".x".
func (l *List) AddBelow(name string) { l.Add("." + name) }

// AddEntry adds an entry, names in both forms. Ranges of IPv6 addresses are left
// out (IsIPv6Range).
func (l *List) AddEntry(entry Entry) {
	switch {
	case entry.IsName():
		l.AddName(entry.String())
	case !entry.IsIPv6Range():
		l.Add(entry.String())
	}
}

// AddUpTo adds entries as written, until the next one would make the list longer than
// most bytes. It returns the number of those that it has not added.
func (l *List) AddUpTo(most int, entries ...string) (left int) {
	for i, entry := range entries {
		longer := *l
		if longer.Add(entry); longer.bytes > most {
			return len(entries) - i
		}
		*l = longer
	}
	return 0
}
