package scaleway

import (
	"context"
	"net/netip"

	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func gatewayRow() operations {
	return row[*stack.Gateway]{
		kind: stack.KindGateway, permission: permissionGateways, observe: (*observation).gateways,
		create: (*Cloud).createGateway, update: (*Cloud).updateGateway, delete: (*Cloud).deleteGateway,
	}.untyped()
}

// permissionGateways is the permission set of all kinds of the gateways' API.
const permissionGateways = "VPCGatewayFullAccess"

// gateways adds the gateways with their networks, which the API lists with them.
func (o *observation) gateways(ctx context.Context) error {
	gateways, err := o.cloud.listGateways(ctx)
	if err != nil {
		return err
	}
	for _, g := range gateways {
		o.add(newGateway(g))
		for _, n := range g.GatewayNetworks {
			network := newGatewayNetwork(n)
			network.Name = g.Name
			o.add(network)
		}
	}
	return nil
}

func (c *Cloud) createGateway(ctx context.Context, r *stack.Gateway, report func(string)) error {
	created, err := ensure(ctx, c, maker[*stack.Gateway]{
		find: c.findGateways,
		create: func(ctx context.Context) (*stack.Gateway, error) {
			g, err := c.gateway.CreateGateway(&vpcgw.CreateGatewayRequest{
				Zone: c.zone, ProjectID: c.project, Name: r.Name, Tags: c.tags(""), Type: r.Type,
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newGateway(g), nil
		},
		remove: c.deleteGateway,
	})
	if err != nil {
		return err
	}
	created, err = c.awaitGateway(ctx, created.ID, report)
	return copyCreated(r, created, err)
}

func (c *Cloud) awaitGateway(ctx context.Context, id string, report func(string)) (*stack.Gateway, error) {
	return await(ctx, c, report, func(ctx context.Context) (*stack.Gateway, string, error) {
		g, err := c.gateway.GetGateway(&vpcgw.GetGatewayRequest{Zone: c.zone, GatewayID: id}, scw.WithContext(ctx))
		if err != nil {
			return nil, "", err
		}
		return newGateway(g), newGateway(g).Status, nil
	}, []string{statusReady}, []string{"failed", "stopped", "locked", "deleting"})
}

func (c *Cloud) findGateways(ctx context.Context) ([]*stack.Gateway, error) {
	gateways, err := c.listGateways(ctx)
	if err != nil {
		return nil, err
	}
	found := make([]*stack.Gateway, 0, len(gateways))
	for _, g := range gateways {
		found = append(found, newGateway(g))
	}
	return found, nil
}

func (c *Cloud) listGateways(ctx context.Context) ([]*vpcgw.Gateway, error) {
	list, err := c.gateway.ListGateways(&vpcgw.ListGatewaysRequest{Zone: c.zone, ProjectID: &c.project, Tags: c.tags("")},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*vpcgw.Gateway
	for _, g := range list.Gateways {
		if c.owns(g.ProjectID, g.Tags) {
			found = append(found, g)
		}
	}
	return found, nil
}

func newGateway(g *vpcgw.Gateway) *stack.Gateway {
	gateway := &stack.Gateway{ResourceMeta: stack.ResourceMeta{ID: g.ID, Name: g.Name, CreatedAt: timeOf(g.CreatedAt)}, Type: g.Type, Status: g.Status.String()}
	gateway.Deleting = g.Status == vpcgw.GatewayStatusDeleting
	if g.Status == vpcgw.GatewayStatusRunning {
		gateway.Status = statusReady
	}
	if g.IPv4 != nil {
		if address, ok := netip.AddrFromSlice(g.IPv4.Address); ok {
			gateway.Address = address.Unmap()
		}
	}
	return gateway
}

func (c *Cloud) updateGateway(ctx context.Context, r *stack.Gateway, changes []stack.Change, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		if !changed(changes, "name") {
			return nil
		}
		_, err := c.gateway.UpdateGateway(&vpcgw.UpdateGatewayRequest{Zone: c.zone, GatewayID: r.ID, Name: &r.Name}, scw.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	if changed(changes, "type") {
		if err := c.upgradeGateway(ctx, r, report); err != nil {
			return err
		}
	}
	ready, err := c.awaitGateway(ctx, r.ID, report)
	return copyCreated(r, ready, err)
}

// upgradeGateway raises the gateway's type. It is a POST: after an uncertain
// answer, the gateway is observed before the request is sent again.
func (c *Cloud) upgradeGateway(ctx context.Context, r *stack.Gateway, report func(string)) error {
	return c.persist(ctx, report, func(ctx context.Context) error {
		current, err := c.gateway.GetGateway(&vpcgw.GetGatewayRequest{Zone: c.zone, GatewayID: r.ID}, scw.WithContext(ctx))
		if err != nil || current.Type == r.Type {
			return err
		}
		_, err = c.gateway.UpgradeGateway(&vpcgw.UpgradeGatewayRequest{Zone: c.zone, GatewayID: r.ID, Type: &r.Type}, scw.WithContext(ctx))
		return err
	})
}

func (c *Cloud) deleteGateway(ctx context.Context, r *stack.Gateway, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		// The address was created with the gateway. It would stay, and cost.
		_, err := c.gateway.DeleteGateway(&vpcgw.DeleteGatewayRequest{Zone: c.zone, GatewayID: r.ID, DeleteIP: true}, scw.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		g, err := c.gateway.GetGateway(&vpcgw.GetGatewayRequest{Zone: c.zone, GatewayID: r.ID}, scw.WithContext(ctx))
		if err != nil {
			return "", err
		}
		return g.Status.String(), nil
	}, "failed", "locked")
}

func gatewayNetworkRow() operations {
	return row[*stack.GatewayNetwork]{
		kind: stack.KindGatewayNetwork, permission: permissionGateways, foundWith: stack.KindGateway,
		create: (*Cloud).createGatewayNetwork, update: (*Cloud).updateGatewayNetwork, delete: (*Cloud).deleteGatewayNetwork,
	}.untyped()
}

func (c *Cloud) createGatewayNetwork(ctx context.Context, r *stack.GatewayNetwork, report func(string)) error {
	created, err := ensure(ctx, c, maker[*stack.GatewayNetwork]{
		find: func(ctx context.Context) ([]*stack.GatewayNetwork, error) {
			return c.findGatewayNetworks(ctx, r.Gateway.ID, r.Network.ID)
		},
		create: func(ctx context.Context) (*stack.GatewayNetwork, error) {
			n, err := c.gateway.CreateGatewayNetwork(&vpcgw.CreateGatewayNetworkRequest{
				Zone: c.zone, GatewayID: r.Gateway.ID, PrivateNetworkID: r.Network.ID,
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
	created, err = c.awaitGatewayNetwork(ctx, created.ID, report)
	return copyCreated(r, created, err)
}

func (c *Cloud) findGatewayNetworks(ctx context.Context, gateway, network string) ([]*stack.GatewayNetwork, error) {
	list, err := c.gateway.ListGatewayNetworks(&vpcgw.ListGatewayNetworksRequest{
		Zone: c.zone, GatewayIDs: []string{gateway}, PrivateNetworkIDs: []string{network},
	}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*stack.GatewayNetwork
	for _, n := range list.GatewayNetworks {
		if n.GatewayID == gateway && n.PrivateNetworkID == network {
			found = append(found, newGatewayNetwork(n))
		}
	}
	return found, nil
}

func newGatewayNetwork(n *vpcgw.GatewayNetwork) *stack.GatewayNetwork {
	return &stack.GatewayNetwork{
		ResourceMeta: stack.ResourceMeta{ID: n.ID, CreatedAt: timeOf(n.CreatedAt), Deleting: n.Status == vpcgw.GatewayNetworkStatusDetaching},
		Gateway:      &stack.Gateway{ResourceMeta: stack.ResourceMeta{ID: n.GatewayID}},
		Network:      &stack.PrivateNetwork{ResourceMeta: stack.ResourceMeta{ID: n.PrivateNetworkID}},
		Masquerade:   n.MasqueradeEnabled, DefaultRoute: n.PushDefaultRoute, Status: n.Status.String(),
	}
}

// awaitGatewayNetwork treats "created" as the transient status that it is. The
// SDK's waiter takes it for the final one.
func (c *Cloud) awaitGatewayNetwork(ctx context.Context, id string, report func(string)) (*stack.GatewayNetwork, error) {
	return await(ctx, c, report, func(ctx context.Context) (*stack.GatewayNetwork, string, error) {
		n, err := c.gateway.GetGatewayNetwork(&vpcgw.GetGatewayNetworkRequest{Zone: c.zone, GatewayNetworkID: id}, scw.WithContext(ctx))
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
				Zone: c.zone, GatewayNetworkID: r.ID, EnableMasquerade: &r.Masquerade, PushDefaultRoute: &r.DefaultRoute,
			}, scw.WithContext(ctx))
			return err
		})
		if err != nil {
			return err
		}
	}
	_, err := c.awaitGatewayNetwork(ctx, r.ID, report)
	return err
}

func (c *Cloud) deleteGatewayNetwork(ctx context.Context, r *stack.GatewayNetwork, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		_, err := c.gateway.DeleteGatewayNetwork(&vpcgw.DeleteGatewayNetworkRequest{Zone: c.zone, GatewayNetworkID: r.ID}, scw.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		n, err := c.gateway.GetGatewayNetwork(&vpcgw.GetGatewayNetworkRequest{Zone: c.zone, GatewayNetworkID: r.ID}, scw.WithContext(ctx))
		if err != nil {
			return "", err
		}
		return n.Status.String(), nil
	})
}
