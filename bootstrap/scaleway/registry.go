package scaleway

import (
	"context"

	"github.com/scaleway/scaleway-sdk-go/api/registry/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func (c *Cloud) createRegistry(ctx context.Context, r *stack.Registry, report func(string)) error {
	made, err := ensure(ctx, c, maker[*stack.Registry]{
		find: c.findRegistries,
		create: func(ctx context.Context) (*stack.Registry, error) {
			n, err := c.registry.CreateNamespace(&registry.CreateNamespaceRequest{
				Region: c.region, ProjectID: &c.project, Name: r.Name, Description: stack.RegistryDescription(c.name), IsPublic: r.Public,
			}, scw.WithContext(ctx))
			if isTaken(err) {
				return nil, explained(err, "registry.name: the name %s is taken in %s, maybe by another organization, for names are unique over all of them: choose another one",
					r.Name, c.region)
			}
			if err != nil {
				return nil, err
			}
			return newRegistry(n), nil
		},
		remove: func(ctx context.Context, n *stack.Registry) error { return c.deleteRegistry(ctx, n.ID, silent) },
	})
	if err != nil {
		return err
	}
	made, err = await(ctx, c, report, func(ctx context.Context) (*stack.Registry, string, error) {
		n, err := c.registry.GetNamespace(&registry.GetNamespaceRequest{Region: c.region, NamespaceID: made.ID}, scw.WithContext(ctx))
		if err != nil {
			return nil, "", err
		}
		return newRegistry(n), string(n.Status), nil
	}, []string{statusReady}, []string{"error", "locked", "deleting"})
	return adopt(r, made, err)
}

// findRegistries returns the namespaces that the set-up made. They carry no
// tags.
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
		ResourceMeta: stack.ResourceMeta{ID: n.ID, Name: n.Name, CreatedAt: when(n.CreatedAt), Deleting: n.Status == registry.NamespaceStatusDeleting},
		Public:       n.IsPublic, Endpoint: n.Endpoint,
	}
}

func (c *Cloud) updateRegistry(ctx context.Context, r *stack.Registry) error {
	_, err := c.registry.UpdateNamespace(&registry.UpdateNamespaceRequest{Region: c.region, NamespaceID: r.ID, IsPublic: &r.Public}, scw.WithContext(ctx))
	return err
}

func (c *Cloud) deleteRegistry(ctx context.Context, id string, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		_, err := c.registry.DeleteNamespace(&registry.DeleteNamespaceRequest{Region: c.region, NamespaceID: id}, scw.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		n, err := c.registry.GetNamespace(&registry.GetNamespaceRequest{Region: c.region, NamespaceID: id}, scw.WithContext(ctx))
		if err != nil {
			return "", err
		}
		return string(n.Status), nil
	}, "error", "locked")
}
