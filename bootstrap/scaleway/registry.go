package scaleway

import (
	"context"
	"fmt"

	"github.com/scaleway/scaleway-sdk-go/api/registry/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func registryRow() operations {
	return row[*stack.Registry]{
		kind: stack.KindRegistry, permission: "ContainerRegistryFullAccess", observe: (*observation).registries,
		create: (*Cloud).createRegistry, update: (*Cloud).updateRegistry, delete: (*Cloud).deleteRegistry, check: (*planCheck).registry,
	}.untyped()
}

func (o *observation) registries(ctx context.Context) error {
	found, err := o.cloud.findRegistries(ctx)
	addAll(o, found)
	return err
}

func (c *Cloud) createRegistry(ctx context.Context, r *stack.Registry, report func(string)) error {
	created, err := ensure(ctx, c, maker[*stack.Registry]{
		find: c.findRegistries,
		create: func(ctx context.Context) (*stack.Registry, error) {
			n, err := c.registry.CreateNamespace(&registry.CreateNamespaceRequest{
				Region: c.region, ProjectID: &c.project, Name: r.Name, Description: stack.RegistryDescription(c.name), IsPublic: r.Public,
			}, scw.WithContext(ctx))
			if isTaken(err) {
				return nil, explained(err, "spec.registry.name: the name %s is taken in %s, maybe by another organization, because names are unique over all of them: choose another one",
					r.Name, c.region)
			}
			if err != nil {
				return nil, err
			}
			return newRegistry(n), nil
		},
		remove: c.deleteRegistry,
	})
	if err != nil {
		return err
	}
	created, err = await(ctx, c, report, func(ctx context.Context) (*stack.Registry, string, error) {
		n, err := c.registry.GetNamespace(&registry.GetNamespaceRequest{Region: c.region, NamespaceID: created.ID}, scw.WithContext(ctx))
		if err != nil {
			return nil, "", err
		}
		return newRegistry(n), string(n.Status), nil
	}, []string{statusReady}, []string{"error", "locked", "deleting"})
	return copyCreated(r, created, err)
}

// findRegistries returns the namespaces of the stack. They cannot carry tags; their
// description names the stack.
func (c *Cloud) findRegistries(ctx context.Context) ([]*stack.Registry, error) {
	list, err := c.registry.ListNamespaces(&registry.ListNamespacesRequest{Region: c.region, ProjectID: &c.project}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*stack.Registry
	for _, n := range list.Namespaces {
		if n.ProjectID == c.project && n.Description == stack.RegistryDescription(c.name) {
			found = append(found, newRegistry(n))
		}
	}
	return found, nil
}

func newRegistry(n *registry.Namespace) *stack.Registry {
	return &stack.Registry{
		ResourceMeta: stack.ResourceMeta{ID: n.ID, Name: n.Name, CreatedAt: timeOf(n.CreatedAt), Deleting: n.Status == registry.NamespaceStatusDeleting},
		Public:       n.IsPublic, Endpoint: n.Endpoint,
	}
}

func (c *Cloud) updateRegistry(ctx context.Context, r *stack.Registry, _ []stack.Change, _ func(string)) error {
	_, err := c.registry.UpdateNamespace(&registry.UpdateNamespaceRequest{Region: c.region, NamespaceID: r.ID, IsPublic: &r.Public}, scw.WithContext(ctx))
	return err
}

func (c *Cloud) deleteRegistry(ctx context.Context, r *stack.Registry, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		_, err := c.registry.DeleteNamespace(&registry.DeleteNamespaceRequest{Region: c.region, NamespaceID: r.ID}, scw.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		n, err := c.registry.GetNamespace(&registry.GetNamespaceRequest{Region: c.region, NamespaceID: r.ID}, scw.WithContext(ctx))
		if err != nil {
			return "", err
		}
		return string(n.Status), nil
	}, "error", "locked")
}

// registry returns an error if the project has a namespace of that name that the
// stack did not create. Namespaces of other projects are not visible.
func (p *planCheck) registry(ctx context.Context, wanted *stack.Registry) error {
	c := p.cloud
	list, err := c.registry.ListNamespaces(&registry.ListNamespacesRequest{Region: c.region, ProjectID: &c.project, Name: &wanted.Name},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return err
	}
	for _, n := range list.Namespaces {
		if n.Name == wanted.Name && n.Description != stack.RegistryDescription(c.name) && n.Status != registry.NamespaceStatusDeleting {
			return fmt.Errorf("spec.registry.name: there is a namespace %s already, and this stack did not create it: choose another name, or leave registry out", n.Name)
		}
	}
	return nil
}
