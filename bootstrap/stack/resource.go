package stack

import (
	"cmp"
	"slices"
	"time"
)

// ResourceMeta contains the properties that all resources have. Of a resource
// that does not exist yet, only the name is known.
type ResourceMeta struct {
	// ID is the resource's ID at Scaleway. A resource that is a property of
	// another one (user data, power, attachments) has the ID of that one.
	ID string
	// Name is the name in Scaleway's console.
	Name string
	// CreatedAt decides between several resources for one key: the oldest stays.
	CreatedAt time.Time
	// Existing is true for a resource that egress.yaml names by its ID:
	// bootstrap uses it, and never changes or deletes it.
	Existing bool
	// Deleting is true for a resource whose deletion has begun.
	Deleting bool
}

// Meta returns the properties that the resource shares with all resources.
func (m *ResourceMeta) Meta() *ResourceMeta { return m }

// exists reports whether the resource has been created.
func (m *ResourceMeta) exists() bool { return m.ID != "" }

// copyObserved copies the properties that the API decides for every resource.
// The name stays: it is the wanted one.
func (m *ResourceMeta) copyObserved(observed Resource) {
	meta := observed.Meta()
	m.ID, m.CreatedAt = meta.ID, meta.CreatedAt
}

// Resource is a resource at Scaleway, wanted or observed: a pointer to one of
// the types of this package. Resources refer to each other by pointers. So a
// resource that is created later finds the IDs of the resources that were
// created before it.
type Resource interface {
	Key() Key
	Meta() *ResourceMeta

	// Needs returns the resources that must exist before this one can.
	Needs() []Resource

	// Fields returns the properties in which two resources for one key can
	// differ, in the normal form of the API's answers.
	Fields() []Field

	// CopyObserved copies the properties that the API decides (ID, addresses)
	// from an observed resource of the same type.
	CopyObserved(observed Resource)
}

// SortByAge sorts resources from the oldest to the youngest. The first one is the
// one that stays.
func SortByAge[R Resource](resources []R) {
	slices.SortFunc(resources, func(a, b R) int {
		return cmp.Or(a.Meta().CreatedAt.Compare(b.Meta().CreatedAt), cmp.Compare(a.Meta().ID, b.Meta().ID))
	})
}
