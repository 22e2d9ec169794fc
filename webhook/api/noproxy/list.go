package noproxy

import "slices"

// MaxBytes bounds NO_PROXY, as a whole. Every process of the pod carries it
// twice, and clients walk it for every request.
const MaxBytes = 4096

// List collects NO_PROXY entries: in the order in which they were
// added, each once. The lists are short enough to be searched.
type List struct {
	entries []string
	bytes   int // of the entries joined by commas
}

// NewList returns an empty list with room for so many entries.
func NewList(capacity int) List { return List{entries: make([]string, 0, capacity)} }

// Entries returns the entries in their order. The caller must not change them.
func (l *List) Entries() []string { return l.entries }

// Bytes returns the length of the entries when joined by commas.
func (l *List) Bytes() int { return l.bytes }

// Clone returns a list that can be added to without changing this one.
func (l *List) Clone() List { return List{slices.Clip(l.entries), l.bytes} }

// Add adds entries as they are written.
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

// AddName adds a domain in both forms: to some clients "x" is x alone (Node,
// .NET, Java), to others ".x" is only what lies below it (Go, wget, Ruby).
func (l *List) AddName(name string) {
	l.Add(name, "."+name)
}

// AddEntry adds an entry, a name in both forms.
func (l *List) AddEntry(entry Entry) {
	if entry.IsName() {
		l.AddName(entry.String())
		return
	}
	l.Add(entry.String())
}
