package scaleway

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	zone := scw.Zone(r.Server.Zone)
	created, err := ensure(ctx, c, maker[*stack.PrivateNIC]{
		find: func(ctx context.Context) ([]*stack.PrivateNIC, error) {
			s, err := c.getServer(ctx, zone, r.Server.ID)
			if err != nil {
				return nil, err
			}
			return newPrivateNICs(zone, s, r.Network.ID), nil
		},
		create: func(ctx context.Context) (*stack.PrivateNIC, error) {
			n, err := c.nic.CreatePrivateNetworkInterface(&nic.CreatePrivateNetworkInterfaceRequest{
				Zone: zone, ProjectID: c.project, ServerID: &r.Server.ID, PrivateNetworkID: r.Network.ID,
				IPIDs: []string{r.PrivateIP.ID}, Tags: c.tags(r.Server.Role),
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return &stack.PrivateNIC{
				ResourceMeta: stack.ResourceMeta{ID: n.ID, Name: r.Name, CreatedAt: timeOf(n.CreatedAt)}, Server: r.Server,
			}, nil
		},
		remove: c.deletePrivateNIC,
	})
	if err != nil {
		return err
	}
	r.CopyObserved(created)
	_, err = await(ctx, c, report, func(ctx context.Context) (struct{}, string, error) {
		n, err := c.getPrivateNIC(ctx, zone, r.ID)
		if err != nil {
			return struct{}{}, "", err
		}
		return struct{}{}, n.Status.String(), nil
	}, []string{"available"}, append(nicErrors(), "deleting", "detaching"))
	return explainNIC(err)
}

func (c *Cloud) getPrivateNIC(ctx context.Context, zone scw.Zone, id string) (*nic.PrivateNetworkInterface, error) {
	return c.nic.GetPrivateNetworkInterface(&nic.GetPrivateNetworkInterfaceRequest{Zone: zone, PrivateNetworkInterfaceID: id}, scw.WithContext(ctx))
}

// nicErrors are the statuses of NICs that a stop of the server mends, according to the
// SDK.
func nicErrors() []string {
	return []string{nic.PrivateNetworkInterfaceStatusDetachError.String(), nic.PrivateNetworkInterfaceStatusDeleteError.String()}
}

// explainNIC adds the remedy to the error about a NIC that stays in error.
func explainNIC(err error) error {
	if lasting, ok := errors.AsType[*lastingError](err); ok && slices.Contains(nicErrors(), lasting.status) {
		return fmt.Errorf("%w. Stop the server there, which mends this state, start it, then run this again", err)
	}
	return err
}

// newPrivateNICs returns the NICs of a server in one network.
func newPrivateNICs(zone scw.Zone, s *instance.Server, network string) []*stack.PrivateNIC {
	var found []*stack.PrivateNIC
	for _, n := range s.PrivateNics {
		if n.PrivateNetworkID != network {
			continue
		}
		found = append(found, &stack.PrivateNIC{
			ResourceMeta: stack.ResourceMeta{ID: n.ID, Name: s.Name, CreatedAt: timeOf(n.CreationDate)},
			Server:       &stack.Server{ResourceMeta: stack.ResourceMeta{ID: s.ID}, Role: stack.Role(s.Tags), Zone: string(zone)},
			Network:      &stack.PrivateNetwork{ResourceMeta: stack.ResourceMeta{ID: n.PrivateNetworkID}},
			PrivateIP:    &stack.PrivateIP{ResourceMeta: stack.ResourceMeta{ID: strings.Join(n.IpamIPIDs, ",")}},
		})
	}
	return found
}

// deletePrivateNIC detaches a NIC and deletes it. Until July 2026 the deletion was
// recorded to detach it as well; according to reports since September, it is refused
// while the NIC is attached.
func (c *Cloud) deletePrivateNIC(ctx context.Context, r *stack.PrivateNIC, report func(string)) error {
	zone := scw.Zone(r.Server.Zone)
	if err := c.detachPrivateNIC(ctx, zone, r.ID, report); err != nil {
		return err
	}
	err := c.persist(ctx, report, func(ctx context.Context) error {
		return c.nic.DeletePrivateNetworkInterface(&nic.DeletePrivateNetworkInterfaceRequest{Zone: zone, PrivateNetworkInterfaceID: r.ID}, scw.WithContext(ctx))
	})
	if err != nil {
		return err
	}
	return explainNIC(awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		n, err := c.getPrivateNIC(ctx, zone, r.ID)
		if err != nil {
			return "", err
		}
		return n.Status.String(), nil
	}, nicErrors()...))
}

// detachPrivateNIC detaches a NIC from its server, if it has one. The request is a POST:
// after an uncertain answer or a refusal the NIC is observed before the request is sent
// again.
func (c *Cloud) detachPrivateNIC(ctx context.Context, zone scw.Zone, id string, report func(string)) error {
	const detached = "detached"
	var refused refusals
	_, err := await(ctx, c, report, func(ctx context.Context) (struct{}, string, error) {
		n, err := c.getPrivateNIC(ctx, zone, id)
		switch {
		case isNotFound(err):
			return struct{}{}, detached, nil
		case err != nil:
			return struct{}{}, "", err
		case n.ServerID == "":
			return struct{}{}, detached, nil
		case n.Status != nic.PrivateNetworkInterfaceStatusAvailable:
			return struct{}{}, n.Status.String(), nil
		}
		_, err = c.nic.DetachServerPrivateNetworkInterface(&nic.DetachServerPrivateNetworkInterfaceRequest{
			Zone: zone, ServerID: n.ServerID, PrivateNetworkInterfaceID: id,
		}, scw.WithContext(ctx))
		if isTransient(err) {
			err = nil
		}
		return struct{}{}, "detaching", refused.count(ctx, err)
	}, []string{detached}, nicErrors())
	return explainNIC(err)
}
