package stack

import "context"

// Cloud is the access of a run to Scaleway. Implementations are safe for
// concurrent use, retry requests where that is useful, and return as soon as the
// context ends.
//
// Create, Update and Delete return when the resource is in its final state, or
// gone: they do the waiting. Meanwhile they pass report a word or two about what
// they wait for.
type Cloud interface {
	// Observe returns the resources of a stack: all resources with its ownership
	// tag, and the existing network and cluster that egress.yaml names. It writes
	// nothing.
	Observe(ctx context.Context, spec Spec) (*Observed, error)

	// Check returns all errors that would make a plan fail and can be known
	// beforehand: types, images and versions that do not exist or are sold out,
	// addresses that are in use. It writes nothing.
	Check(ctx context.Context, spec Spec, plan *Plan) error

	// Create creates the resource and fills in the properties that the API
	// decided, as CopyObserved does. It does not create a second resource for a
	// key: it takes over one that exists, or that another run creates at the same
	// time.
	Create(ctx context.Context, resource Resource, report func(string)) error

	// Update brings an existing resource to its wanted state.
	Update(ctx context.Context, resource Resource, changes []Change, report func(string)) error

	// Delete deletes an existing resource with its parts. A resource that is gone
	// already is not an error.
	Delete(ctx context.Context, resource Resource, report func(string)) error

	// MachineStatus returns the status that a server has written into its own user data
	// (UserDataStatus). Nil: it has written none.
	MachineStatus(ctx context.Context, server *Server) ([]byte, error)

	// Kubeconfig returns the administrator's kubeconfig of a cluster: a secret.
	Kubeconfig(ctx context.Context, cluster *Cluster) ([]byte, error)
}

// Observed contains the existing resources of a stack.
type Observed struct {
	// Resources are in no order. There can be several for one key.
	Resources []Resource

	// Missing contains an error for each resource that egress.yaml names by its
	// ID and that does not exist, with the cause if it could be found out.
	Missing []error
}

// byKey groups the resources by key, each group from the oldest to the youngest.
func (o *Observed) byKey() map[Key][]Resource {
	groups := map[Key][]Resource{}
	for _, r := range o.Resources {
		groups[r.Key()] = append(groups[r.Key()], r)
	}
	for _, group := range groups {
		SortByAge(group)
	}
	return groups
}
