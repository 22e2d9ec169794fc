package audit

import (
	"slices"
	"strings"
)

// MaxTenants bounds the names that Tenants keeps: as many as a sentence can list.
const MaxTenants = 10

// Tenants are the first MaxTenants different tenants of an audit log. The zero value is
// empty.
type Tenants struct {
	names []string // sorted
	more  bool
}

// Add adds the tenant of a record.
func (t *Tenants) Add(name string) {
	i, known := slices.BinarySearch(t.names, name)
	switch {
	case known:
	case len(t.names) == MaxTenants:
		t.more = true
	default:
		t.names = slices.Insert(t.names, i, strings.Clone(name))
	}
}

// String lists the names: "client-a, client-b", "client-a and others", or "none".
func (t *Tenants) String() string {
	switch {
	case len(t.names) == 0:
		return "none"
	case t.more:
		return strings.Join(t.names, ", ") + " and others"
	}
	return strings.Join(t.names, ", ")
}
