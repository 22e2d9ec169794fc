package scaleway

import (
	"context"
	"net/http"
	"slices"

	"egress.scw/bootstrap/stack"
)

// maker contains the operations that ensure needs on the resources for one key.
type maker[R stack.Resource] struct {
	// find returns the stack's existing resources.
	find func(context.Context) ([]R, error)
	// create creates another one.
	create func(context.Context) (R, error)
	// remove deletes the one that create created.
	remove func(context.Context, R, func(string)) error
}

// staying returns the resources that are not being deleted.
func (m maker[R]) staying(ctx context.Context) ([]R, error) {
	found, err := m.find(ctx)
	return slices.DeleteFunc(found, func(r R) bool { return r.Meta().Deleting }), err
}

// ensure returns the one resource for a key, and creates it if there is none. Two
// runs that do this at the same time end up with the same resource: after creating
// one, each run looks again. The oldest resource stays. The run that created a
// younger one deletes it, and no other resource.
//
// Both runs come to the same result because of the API's order of creation: a run
// that does not see an older resource will never see one. (An agreement by tags,
// for example, is impossible: it takes more than reading and writing.)
func ensure[R stack.Resource](ctx context.Context, c *Cloud, m maker[R]) (R, error) {
	var none R
	retry := c.backoff.begin()
	for {
		found, err := m.staying(ctx)
		if err != nil {
			return none, err
		}
		if len(found) > 0 {
			stack.SortByAge(found)
			return found[0], nil
		}
		created, err := m.create(ctx)
		if err == nil && created.Meta().ID != "" {
			return contend(ctx, m, created)
		}
		if err == nil {
			err = &uncertainError{http.MethodPost, errIncomplete}
		}
		// Whatever the error is, its cause may be that another run was faster:
		// addresses, subnets and names of registries can exist only once.
		if found, findErr := m.staying(ctx); findErr == nil && len(found) > 0 {
			stack.SortByAge(found)
			return found[0], nil
		}
		if !isUncertain(err) && !isTransient(err) {
			return none, err
		}
		if err := retry.wait(ctx, err); err != nil {
			return none, err
		}
	}
}

// contend decides between the resource that was just created and those that other
// runs created at the same time.
func contend[R stack.Resource](ctx context.Context, m maker[R], created R) (R, error) {
	found, err := m.staying(ctx)
	if err != nil {
		return created, err
	}
	isOurs := func(r R) bool { return r.Meta().ID == created.Meta().ID }
	if !slices.ContainsFunc(found, isOurs) { // the list is not up to date yet
		if created.Meta().CreatedAt.IsZero() {
			return created, nil // an address: ages are only requested where there are several
		}
		found = append(found, created)
	}
	stack.SortByAge(found)
	if isOurs(found[0]) {
		return created, nil
	}
	return found[0], m.remove(ctx, created, silent)
}
