package scaleway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"egress.scw/bootstrap/stack"
)

// Observe implements stack.Cloud. It sends some 20 requests, in parallel. An error
// about one kind does not hide the errors about other kinds.
func (c *Cloud) Observe(ctx context.Context, spec stack.Spec) (*stack.Observed, error) {
	o := &observation{cloud: c, spec: spec}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	all := rows()
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, row := range all {
		if row.observe == nil {
			continue
		}
		group.Go(func() {
			if err := row.observe(o, ctx); err != nil {
				errs[i] = fmt.Errorf("looking for existing resources (%s): %w", row.kind, explain(err, row.kind))
			}
			if isDenied(errs[i]) {
				stop() // all other requests would get the same answer
			}
		})
	}
	group.Wait()
	if i := slices.IndexFunc(errs, isDenied); i >= 0 {
		return nil, errs[i]
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &stack.Observed{Resources: o.resources, Missing: o.missing}, nil
}

// observation collects the existing resources.
type observation struct {
	cloud *Cloud
	spec  stack.Spec

	mutex     sync.Mutex
	resources []stack.Resource
	missing   []error
}

// miss adds the error about a resource that egress.yaml names and that does not
// exist.
func (o *observation) miss(err error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.missing = append(o.missing, err)
}

func (o *observation) add(resources ...stack.Resource) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.resources = append(o.resources, resources...)
}

// addAll adds a list of resources of one type.
func addAll[R stack.Resource](o *observation, resources []R) {
	for _, r := range resources {
		o.add(r)
	}
}

// complete reads the properties that a list lacks, for each resource in the list.
// It leaves out resources that have gone since they were listed: a deletion that
// an earlier run requested may still be in progress.
func complete[R stack.Resource](listed []R, read func(R) error) ([]R, error) {
	var present []R
	for _, r := range listed {
		switch err := read(r); {
		case isNotFound(err):
		case err != nil:
			return nil, err
		default:
			present = append(present, r)
		}
	}
	return present, nil
}
