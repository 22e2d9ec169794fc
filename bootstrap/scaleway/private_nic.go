package scaleway

import (
	"context"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	nic "github.com/scaleway/scaleway-sdk-go/api/instance/v2alpha1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func privateNICRow() operations {
	return row[*stack.PrivateNIC]{
		kind: stack.KindPrivateNIC, permission: permissionInstances, foundWith: stack.KindServer,
		create: (*Cloud).createPrivateNIC, delete: (*Cloud).deletePrivateNIC,
	}.untyped()
}

func (c *Cloud) createPrivateNIC(ctx context.Context, r *stack.PrivateNIC, report func(string)) error {
	created, err := ensure(ctx, c, maker[*stack.PrivateNIC]{
		find: func(ctx context.Context) ([]*stack.PrivateNIC, error) {
			s, err := c.getServer(ctx, r.Server.ID)
			if err != nil {
				return nil, err
			}
			return newPrivateNICs(s, r.Network.ID), nil
		},
		create: func(ctx context.Context) (*stack.PrivateNIC, error) {
			n, err := c.nic.CreatePrivateNetworkInterface(&nic.CreatePrivateNetworkInterfaceRequest{
				Zone: c.zone, ProjectID: c.project, ServerID: &r.Server.ID, PrivateNetworkID: r.Network.ID,
				IPIDs: []string{r.PrivateIP.ID}, Tags: c.tags(r.Server.Role),
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return &stack.PrivateNIC{ResourceMeta: stack.ResourceMeta{ID: n.ID, Name: r.Name, CreatedAt: timeOf(n.CreatedAt)}}, nil
		},
		remove: c.deletePrivateNIC,
	})
	if err != nil {
		return err
	}
	r.CopyObserved(created)
	_, err = await(ctx, c, report, func(ctx context.Context) (struct{}, string, error) {
		status, err := c.privateNICStatus(ctx, r.ID)
		return struct{}{}, status, err
	}, []string{"available"}, []string{"detach_error", "delete_error", "deleting", "detaching"})
	return err
}

func (c *Cloud) privateNICStatus(ctx context.Context, id string) (string, error) {
	n, err := c.nic.GetPrivateNetworkInterface(&nic.GetPrivateNetworkInterfaceRequest{Zone: c.zone, PrivateNetworkInterfaceID: id}, scw.WithContext(ctx))
	if err != nil {
		return "", err
	}
	return n.Status.String(), nil
}

// newPrivateNICs returns the NICs of a server in one network.
func newPrivateNICs(s *instance.Server, network string) []*stack.PrivateNIC {
	var found []*stack.PrivateNIC
	for _, n := range s.PrivateNics {
		if n.PrivateNetworkID != network {
			continue
		}
		found = append(found, &stack.PrivateNIC{
			ResourceMeta: stack.ResourceMeta{ID: n.ID, Name: s.Name, CreatedAt: timeOf(n.CreationDate)},
			Server:       &stack.Server{ResourceMeta: stack.ResourceMeta{ID: s.ID}, Role: stack.Role(s.Tags)},
			Network:      &stack.PrivateNetwork{ResourceMeta: stack.ResourceMeta{ID: n.PrivateNetworkID}},
			PrivateIP:    &stack.PrivateIP{ResourceMeta: stack.ResourceMeta{ID: strings.Join(n.IpamIPIDs, ",")}},
		})
	}
	return found
}

func (c *Cloud) deletePrivateNIC(ctx context.Context, r *stack.PrivateNIC, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		return c.nic.DeletePrivateNetworkInterface(&nic.DeletePrivateNetworkInterfaceRequest{Zone: c.zone, PrivateNetworkInterfaceID: r.ID}, scw.WithContext(ctx))
	})
	if err != nil {
		return err
	}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) { return c.privateNICStatus(ctx, r.ID) }, "detach_error", "delete_error")
}
