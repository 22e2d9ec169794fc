package scaleway

import (
	"context"
	"fmt"
	"slices"

	"egress.scw/bootstrap/stack"
)

// row contains the operations on one kind of resource, whose type is R.
type row[R stack.Resource] struct {
	kind stack.Kind

	// permission is the IAM permission set that the operations need.
	permission string

	// observe adds the existing resources of this kind to an observation. A nil
	// function: the observation of another kind, foundWith, adds them.
	observe   func(*observation, context.Context) error
	foundWith stack.Kind

	create func(*Cloud, context.Context, R, func(string)) error

	// update changes an existing resource. A nil function: no property of the
	// kind can change in place.
	update func(*Cloud, context.Context, R, []stack.Change, func(string)) error

	// delete deletes an existing resource. A nil function: resources of this kind
	// go away with another one.
	delete func(*Cloud, context.Context, R, func(string)) error

	// check returns an error if the creation would fail for a reason that can be
	// known beforehand. A nil function: there are no such reasons.
	check func(*planCheck, context.Context, R) error

	// rechecked are the fields whose change in place is checked as well.
	rechecked []string
}

// operations are a row for resources of any type. The functions return an error
// for a resource of another type than the row's.
type operations struct {
	kind       stack.Kind
	permission string
	observe    func(*observation, context.Context) error
	foundWith  stack.Kind
	create     func(*Cloud, context.Context, stack.Resource, func(string)) error
	update     func(*Cloud, context.Context, stack.Resource, []stack.Change, func(string)) error
	delete     func(*Cloud, context.Context, stack.Resource, func(string)) error
	check      func(*planCheck, context.Context, stack.Resource) error
	rechecked  []string
}

// untyped is the only place where resources are converted to a row's type.
func (r row[R]) untyped() operations {
	as := func(resource stack.Resource) (R, error) {
		typed, ok := resource.(R)
		if !ok {
			return typed, fmt.Errorf("a resource of the type %T cannot be a %s", resource, r.kind)
		}
		return typed, nil
	}
	o := operations{kind: r.kind, permission: r.permission, observe: r.observe, foundWith: r.foundWith, rechecked: r.rechecked}
	if r.create != nil {
		o.create = func(c *Cloud, ctx context.Context, resource stack.Resource, report func(string)) error {
			typed, err := as(resource)
			if err != nil {
				return err
			}
			return r.create(c, ctx, typed, report)
		}
	}
	if r.update != nil {
		o.update = func(c *Cloud, ctx context.Context, resource stack.Resource, changes []stack.Change, report func(string)) error {
			typed, err := as(resource)
			if err != nil {
				return err
			}
			return r.update(c, ctx, typed, changes, report)
		}
	}
	if r.delete != nil {
		o.delete = func(c *Cloud, ctx context.Context, resource stack.Resource, report func(string)) error {
			typed, err := as(resource)
			if err != nil {
				return err
			}
			return r.delete(c, ctx, typed, report)
		}
	}
	if r.check != nil {
		o.check = func(p *planCheck, ctx context.Context, resource stack.Resource) error {
			typed, err := as(resource)
			if err != nil {
				return err
			}
			return r.check(p, ctx, typed)
		}
	}
	return o
}

// rowOf returns the row of a kind. A kind that is not in the table has an empty
// row.
func rowOf(kind stack.Kind) operations {
	all := rows()
	if i := slices.IndexFunc(all, func(o operations) bool { return o.kind == kind }); i >= 0 {
		return all[i]
	}
	return operations{kind: kind}
}

// Create implements stack.Cloud.
func (c *Cloud) Create(ctx context.Context, resource stack.Resource, report func(string)) error {
	row := rowOf(resource.Key().Kind)
	if row.create == nil {
		return fmt.Errorf("a %s cannot be created", row.kind)
	}
	return c.explain(ctx, row.create(c, ctx, resource, report), resource)
}

// Update implements stack.Cloud.
func (c *Cloud) Update(ctx context.Context, resource stack.Resource, changes []stack.Change, report func(string)) error {
	row := rowOf(resource.Key().Kind)
	if row.update == nil {
		return fmt.Errorf("a %s cannot be changed", row.kind)
	}
	return c.explain(ctx, row.update(c, ctx, resource, changes, report), resource)
}

// Delete implements stack.Cloud.
func (c *Cloud) Delete(ctx context.Context, resource stack.Resource, report func(string)) error {
	row := rowOf(resource.Key().Kind)
	if row.delete == nil {
		return fmt.Errorf("a %s cannot be deleted", row.kind)
	}
	return c.explain(ctx, row.delete(c, ctx, resource, report), resource)
}
