package scaleway

import (
	"context"

	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func gatewayNetworkRow() operations {
	return row[*stack.GatewayNetwork]{
		kind: stack.KindGatewayNetwork, permission: permissionGateways, foundWith: stack.KindGateway,
		create: (*Cloud).createGatewayNetwork, update: (*Cloud).updateGatewayNetwork, delete: (*Cloud).deleteGatewayNetwork,
	}.untyped()
}

func (c *Cloud) createGatewayNetwork(ctx context.Context, r *stack.GatewayNetwork, report func(string)) error {
	created, err := ensure(ctx, c, maker[*stack.GatewayNetwork]{
		find: func(ctx context.Context) ([]*stack.GatewayNetwork, error) {
			return c.findGatewayNetworks(ctx, r.Gateway, r.Network.ID)
		},
		create: func(ctx context.Context) (*stack.GatewayNetwork, error) {
			n, err := c.gateway.CreateGatewayNetwork(&vpcgw.CreateGatewayNetworkRequest{
				Zone: scw.Zone(r.Gateway.Zone), GatewayID: r.Gateway.ID, PrivateNetworkID: r.Network.ID,
				EnableMasquerade: r.Masquerade, PushDefaultRoute: r.DefaultRoute,
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newGatewayNetwork(n), nil
		},
		remove: c.deleteGatewayNetwork,
	})
	if err != nil {
		return err
	}
	r.ID = created.ID
	created, err = c.awaitGatewayNetwork(ctx, r, report)
	return copyCreated(r, created, err)
}

func (c *Cloud) findGatewayNetworks(ctx context.Context, gateway *stack.Gateway, network string) ([]*stack.GatewayNetwork, error) {
	list, err := c.gateway.ListGatewayNetworks(&vpcgw.ListGatewayNetworksRequest{
		Zone: scw.Zone(gateway.Zone), GatewayIDs: []string{gateway.ID}, PrivateNetworkIDs: []string{network},
	}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*stack.GatewayNetwork
	for _, n := range list.GatewayNetworks {
		if n.GatewayID == gateway.ID && n.PrivateNetworkID == network {
			found = append(found, newGatewayNetwork(n))
		}
	}
	return found, nil
}

func newGatewayNetwork(n *vpcgw.GatewayNetwork) *stack.GatewayNetwork {
	return &stack.GatewayNetwork{
		ResourceMeta: stack.ResourceMeta{ID: n.ID, CreatedAt: timeOf(n.CreatedAt), Deleting: n.Status == vpcgw.GatewayNetworkStatusDetaching},
		Gateway:      &stack.Gateway{ResourceMeta: stack.ResourceMeta{ID: n.GatewayID}, Zone: string(n.Zone)},
		Network:      &stack.PrivateNetwork{ResourceMeta: stack.ResourceMeta{ID: n.PrivateNetworkID}},
		Masquerade:   n.MasqueradeEnabled, DefaultRoute: n.PushDefaultRoute, Status: n.Status.String(),
	}
}

func (c *Cloud) getGatewayNetwork(ctx context.Context, r *stack.GatewayNetwork) (*vpcgw.GatewayNetwork, error) {
	return c.gateway.GetGatewayNetwork(&vpcgw.GetGatewayNetworkRequest{Zone: scw.Zone(r.Gateway.Zone), GatewayNetworkID: r.ID}, scw.WithContext(ctx))
}

// awaitGatewayNetwork treats "created" as the transient status that it is. The
// SDK's waiter takes it for the final one.
func (c *Cloud) awaitGatewayNetwork(ctx context.Context, r *stack.GatewayNetwork, report func(string)) (*stack.GatewayNetwork, error) {
	return await(ctx, c, report, func(ctx context.Context) (*stack.GatewayNetwork, string, error) {
		n, err := c.getGatewayNetwork(ctx, r)
		if err != nil {
			return nil, "", err
		}
		return newGatewayNetwork(n), n.Status.String(), nil
	}, []string{statusReady}, []string{"detaching"})
}

func (c *Cloud) updateGatewayNetwork(ctx context.Context, r *stack.GatewayNetwork, changes []stack.Change, report func(string)) error {
	if changed(changes, "masquerade", "default route") {
		err := c.persist(ctx, report, func(ctx context.Context) error {
			_, err := c.gateway.UpdateGatewayNetwork(&vpcgw.UpdateGatewayNetworkRequest{
				Zone: scw.Zone(r.Gateway.Zone), GatewayNetworkID: r.ID, EnableMasquerade: &r.Masquerade, PushDefaultRoute: &r.DefaultRoute,
			}, scw.WithContext(ctx))
			return err
		})
		if err != nil {
			return err
		}
	}
	_, err := c.awaitGatewayNetwork(ctx, r, report)
	return err
}

func (c *Cloud) deleteGatewayNetwork(ctx context.Context, r *stack.GatewayNetwork, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		_, err := c.gateway.DeleteGatewayNetwork(&vpcgw.DeleteGatewayNetworkRequest{Zone: scw.Zone(r.Gateway.Zone), GatewayNetworkID: r.ID}, scw.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		n, err := c.getGatewayNetwork(ctx, r)
		if err != nil {
			return "", err
		}
		return n.Status.String(), nil
	})
}
