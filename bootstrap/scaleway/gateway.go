package scaleway

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func gatewayRow() operations {
	return row[*stack.Gateway]{
		kind: stack.KindGateway, permission: permissionGateways, observe: (*observation).gateways,
		create: (*Cloud).createGateway, update: (*Cloud).updateGateway, delete: (*Cloud).deleteGateway,
		check: (*planCheck).gateway, rechecked: []string{"type"},
	}.untyped()
}

// permissionGateways is the permission set of all kinds of the gateways' API.
const permissionGateways = "VPCGatewayFullAccess"

// gateways adds the gateways in all zones of the region, with their networks, which the
// API lists with them. A gateway can be in another zone than the machines, and stays
// there when egress.yaml no longer names that zone.
func (o *observation) gateways(ctx context.Context) error {
	for _, zone := range within(o.cloud.region, gatewayZones()) {
		gateways, err := o.cloud.listGateways(ctx, zone)
		if err != nil {
			return err
		}
		for _, g := range gateways {
			o.add(gatewayResources(g)...)
		}
	}
	return nil
}

// gatewayResources returns a gateway and its networks.
func gatewayResources(g *vpcgw.Gateway) []stack.Resource {
	all := []stack.Resource{newGateway(g)}
	for _, n := range g.GatewayNetworks {
		network := newGatewayNetwork(n)
		network.Name = g.Name
		all = append(all, network)
	}
	return all
}

func (c *Cloud) createGateway(ctx context.Context, r *stack.Gateway, report func(string)) error {
	created, err := ensure(ctx, c, maker[*stack.Gateway]{
		find: func(ctx context.Context) ([]*stack.Gateway, error) { return c.findGateways(ctx, scw.Zone(r.Zone)) },
		create: func(ctx context.Context) (*stack.Gateway, error) {
			g, err := c.gateway.CreateGateway(&vpcgw.CreateGatewayRequest{
				Zone: scw.Zone(r.Zone), ProjectID: c.project, Name: r.Name, Tags: c.tags(""), Type: r.Type,
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
	created, err = c.awaitGateway(ctx, created, report)
	return copyCreated(r, created, err)
}

func (c *Cloud) getGateway(ctx context.Context, r *stack.Gateway) (*vpcgw.Gateway, error) {
	return c.gateway.GetGateway(&vpcgw.GetGatewayRequest{Zone: scw.Zone(r.Zone), GatewayID: r.ID}, scw.WithContext(ctx))
}

// awaitGateway waits until the gateway runs. During an upgrade, a gateway is "failed"
// for a moment.
func (c *Cloud) awaitGateway(ctx context.Context, r *stack.Gateway, report func(string)) (*stack.Gateway, error) {
	return await(ctx, c, report, func(ctx context.Context) (*stack.Gateway, string, error) {
		g, err := c.getGateway(ctx, r)
		if err != nil {
			return nil, "", err
		}
		return newGateway(g), newGateway(g).Status, nil
	}, []string{statusReady}, []string{"failed", "stopped", "locked", "deleting"})
}

func (c *Cloud) findGateways(ctx context.Context, zone scw.Zone) ([]*stack.Gateway, error) {
	gateways, err := c.listGateways(ctx, zone)
	if err != nil {
		return nil, err
	}
	found := make([]*stack.Gateway, 0, len(gateways))
	for _, g := range gateways {
		found = append(found, newGateway(g))
	}
	return found, nil
}

func (c *Cloud) listGateways(ctx context.Context, zone scw.Zone) ([]*vpcgw.Gateway, error) {
	list, err := c.gateway.ListGateways(&vpcgw.ListGatewaysRequest{Zone: zone, ProjectID: &c.project, Tags: c.tags("")},
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
	gateway := &stack.Gateway{
		ResourceMeta: stack.ResourceMeta{ID: g.ID, Name: g.Name, CreatedAt: timeOf(g.CreatedAt)},
		Zone:         string(g.Zone), Type: g.Type, Status: g.Status.String(),
	}
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
		_, err := c.gateway.UpdateGateway(&vpcgw.UpdateGatewayRequest{Zone: scw.Zone(r.Zone), GatewayID: r.ID, Name: &r.Name}, scw.WithContext(ctx))
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
	ready, err := c.awaitGateway(ctx, r, report)
	return copyCreated(r, ready, err)
}

// upgradeGateway raises the gateway's type. It is a POST: after an uncertain
// answer, the gateway is observed before the request is sent again.
func (c *Cloud) upgradeGateway(ctx context.Context, r *stack.Gateway, report func(string)) error {
	return c.persist(ctx, report, func(ctx context.Context) error {
		current, err := c.getGateway(ctx, r)
		if err != nil || current.Type == r.Type {
			return err
		}
		_, err = c.gateway.UpgradeGateway(&vpcgw.UpgradeGatewayRequest{Zone: scw.Zone(r.Zone), GatewayID: r.ID, Type: &r.Type}, scw.WithContext(ctx))
		return err
	})
}

func (c *Cloud) deleteGateway(ctx context.Context, r *stack.Gateway, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		// The address was created with the gateway. It would stay, and cost.
		_, err := c.gateway.DeleteGateway(&vpcgw.DeleteGatewayRequest{Zone: scw.Zone(r.Zone), GatewayID: r.ID, DeleteIP: true}, scw.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		g, err := c.getGateway(ctx, r)
		if err != nil {
			return "", err
		}
		return g.Status.String(), nil
	}, "failed", "locked")
}

// gateway checks that the zone has the type, and that an existing gateway is not to
// become smaller, which Scaleway cannot do.
func (p *planCheck) gateway(ctx context.Context, gateway *stack.Gateway) error {
	list, err := p.cloud.gateway.ListGatewayTypes(&vpcgw.ListGatewayTypesRequest{Zone: scw.Zone(gateway.Zone)}, scw.WithContext(ctx))
	if err != nil {
		return err
	}
	bandwidth := map[string]uint64{}
	for _, t := range list.Types {
		bandwidth[t.Name] = t.Bandwidth
	}
	wanted, ok := bandwidth[gateway.Type]
	if !ok {
		return fmt.Errorf("spec.gateway.type: there is no %s in %s; there are %s",
			gateway.Type, gateway.Zone, orNone(slices.Sorted(maps.Keys(bandwidth))))
	}
	if from, ok := p.changeInPlace(gateway, "type"); ok && wanted < bandwidth[from] {
		return fmt.Errorf("spec.gateway.type: a gateway cannot become smaller, and %s has less bandwidth than %s: keep the type, or remove the gateway and create it again",
			gateway.Type, from)
	}
	return nil
}
