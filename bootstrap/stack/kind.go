package stack

import (
	"cmp"
	"slices"
)

// Kind is a kind of resource. Each kind has a row in the table kinds.
type Kind string

// kindRow contains the facts that hold for all resources of a kind.
type kindRow struct {
	kind Kind

	// creating and created describe the step that creates a resource, while it
	// runs and when it is done. Empty: "creating" and "created".
	creating, created string

	// deletedAfter lists the kinds of resources that prevent the deletion of a
	// resource of this kind. Their deletions come first.
	deletedAfter []Kind

	// property is true for kinds that have no object of their own at Scaleway:
	// such a resource is a property of another one, and has its ID.
	property bool

	// server returns the server that a resource is a part of, or nil. A part is
	// created after its server and goes away with it. A nil function: resources
	// of this kind are not parts of a server.
	server func(Resource) *Server

	// deletedAlone is true for kinds of parts that can also be deleted while
	// their server stays.
	deletedAlone bool

	// state returns the state that status displays. A nil function: the API
	// reports no state, only that the resource exists.
	state func(Resource) string

	// loss describes the data or property that is lost for good when a resource
	// is deleted or replaced. A nil function: nothing is lost.
	loss func(Resource) string

	// outage describes the effect of a replacement until it is complete. Empty:
	// there is none.
	outage string
}

// typed makes a function of one type of resource a function of all resources. For a
// resource of another type, which a table with consistent rows never passes, it
// returns the zero value.
func typed[R Resource, T any](f func(R) T) func(Resource) T {
	return func(r Resource) T {
		if resource, ok := r.(R); ok {
			return f(resource)
		}
		var zero T
		return zero
	}
}

// always is a function that returns the same text for all resources.
func always(text string) func(Resource) string {
	return func(Resource) string { return text }
}

// Kinds returns all kinds, in the order in which plans list them.
func Kinds() []Kind {
	all := make([]Kind, 0, len(kinds))
	for i := range kinds {
		all = append(all, kinds[i].kind)
	}
	return all
}

// row returns the kind's row. A kind that is not in the table has an empty row.
func (k Kind) row() *kindRow {
	for i := range kinds {
		if kinds[i].kind == k {
			return &kinds[i]
		}
	}
	return &kindRow{kind: k}
}

// IsProperty reports whether resources of this kind are properties of another
// resource, without an object of their own at Scaleway.
func (k Kind) IsProperty() bool { return k.row().property }

// State returns the state of an observed resource as status displays it:
// "ready", "present", or the state that the API reports.
func State(r Resource) string {
	if state := r.Key().Kind.row().state; state != nil {
		return cmp.Or(state(r), statePresent)
	}
	return statePresent
}

// The states that do not come from the API.
const (
	statePresent = "present" // the API reports no state
	stateReady   = "ready"   // the term of all APIs' terms for a resource that is complete
)

// serverOf returns the server that a resource is a part of, or nil.
func serverOf(r Resource) *Server {
	if server := r.Key().Kind.row().server; server != nil {
		return server(r)
	}
	return nil
}

// isPart reports whether a resource is created after a server and goes away with
// it.
func isPart(r Resource) bool { return serverOf(r) != nil }

// Key is the purpose of a resource. There should be one resource for each key.
type Key struct {
	Kind Kind
	// Role tells resources of one kind apart: the role of a machine, the use of
	// an address, the name of a pool. It is empty for a kind that exists once.
	Role string
}

// String returns the key for people: "gateway", "pool/system".
func (k Key) String() string {
	if k.Role == "" {
		return string(k.Kind)
	}
	return string(k.Kind) + "/" + k.Role
}

// compareKeys orders keys as plans list them.
func compareKeys(a, b Key) int {
	order := Kinds()
	return cmp.Or(
		cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)),
		cmp.Compare(a.Role, b.Role),
	)
}
