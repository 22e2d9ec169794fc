package stack

import "context"

// Cloud is what a run asks of Scaleway. Implementations are safe for concurrent
// use, retry what is worth retrying, and return as soon as the context ends.
//
// Create, Update and Delete come back when the resource is as it should be, or
// gone: waiting is theirs. Meanwhile they tell report what they wait for, in a
// word or two.
type Cloud interface {
	// Observe returns what exists of a set-up: all that belongs to it by its
	// ownership tag, and the network and the cluster that are given. Nothing
	// is written.
	Observe(ctx context.Context, spec Spec) (*Observed, error)

	// Check says everything that would make a plan fail and can be known
	// beforehand: types, images and versions that do not exist or are sold
	// out, addresses that are taken. Nothing is written.
	Check(ctx context.Context, spec Spec, plan *Plan) error

	// Create makes the resource and fills in what the API decided, as CopyObserved
	// does. It makes no second one for the same key: what exists already, or
	// what somebody else makes at the same time, is adopted.
	Create(ctx context.Context, resource Resource, report func(string)) error

	// Update brings an existing resource to the state that is wanted.
	Update(ctx context.Context, resource Resource, changes []Change, report func(string)) error

	// Delete removes an existing resource, with its parts. It is no error if
	// it is gone already.
	Delete(ctx context.Context, resource Resource, report func(string)) error

	// Kubeconfig returns a cluster's administrator kubeconfig: a secret.
	Kubeconfig(ctx context.Context, cluster *Cluster) ([]byte, error)
}

// Observed is what exists of a set-up.
type Observed struct {
	// Resources are in no order. There may be several for one key.
	Resources []Resource

	// Missing says of what egress.yaml names by its ID, and is not there, as
	// much as could be found out.
	Missing []error
}

// byKey groups the resources, the oldest first.
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
