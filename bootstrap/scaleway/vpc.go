package scaleway

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/api/ipam/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func vpcRow() operations {
	return row[*stack.VPC]{
		kind: stack.KindVPC, permission: "VPCFullAccess", observe: (*observation).vpcs,
		create: (*Cloud).createVPC, update: (*Cloud).updateVPC, delete: (*Cloud).deleteVPC,
	}.untyped()
}

func (o *observation) vpcs(ctx context.Context) error {
	found, err := o.cloud.findVPCs(ctx)
	addAll(o, found)
	return err
}

func (c *Cloud) createVPC(ctx context.Context, r *stack.VPC, _ func(string)) error {
	created, err := ensure(ctx, c, maker[*stack.VPC]{
		find: c.findVPCs,
		create: func(ctx context.Context) (*stack.VPC, error) {
			v, err := c.vpc.CreateVPC(&vpc.CreateVPCRequest{
				Region: c.region, ProjectID: c.project, Name: r.Name, Tags: c.tags(""), EnableRouting: true,
			}, scw.WithContext(ctx))
			return newVPC(v), err
		},
		remove: c.deleteVPC,
	})
	return copyCreated(r, created, err)
}

func (c *Cloud) findVPCs(ctx context.Context) ([]*stack.VPC, error) {
	list, err := c.vpc.ListVPCs(&vpc.ListVPCsRequest{Region: c.region, ProjectID: &c.project, Tags: c.tags("")}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*stack.VPC
	for _, v := range list.Vpcs {
		if c.owns(v.ProjectID, v.Tags) {
			found = append(found, newVPC(v))
		}
	}
	return found, nil
}

func newVPC(v *vpc.VPC) *stack.VPC {
	if v == nil {
		return nil
	}
	return &stack.VPC{ResourceMeta: stack.ResourceMeta{ID: v.ID, Name: v.Name, CreatedAt: timeOf(v.CreatedAt)}}
}

func (c *Cloud) updateVPC(ctx context.Context, r *stack.VPC, _ []stack.Change, _ func(string)) error {
	_, err := c.vpc.UpdateVPC(&vpc.UpdateVPCRequest{Region: c.region, VpcID: r.ID, Name: &r.Name}, scw.WithContext(ctx))
	return err
}

func (c *Cloud) deleteVPC(ctx context.Context, r *stack.VPC, report func(string)) error {
	return c.persist(ctx, report, func(ctx context.Context) error {
		return c.vpc.DeleteVPC(&vpc.DeleteVPCRequest{Region: c.region, VpcID: r.ID}, scw.WithContext(ctx))
	})
}

func privateNetworkRow() operations {
	return row[*stack.PrivateNetwork]{
		kind: stack.KindPrivateNetwork, permission: "PrivateNetworksFullAccess", observe: (*observation).privateNetworks,
		create: (*Cloud).createPrivateNetwork, update: (*Cloud).updatePrivateNetwork, delete: (*Cloud).deletePrivateNetwork,
	}.untyped()
}

// privateNetworks adds the Private Networks, and the addresses that are reserved
// in them.
func (o *observation) privateNetworks(ctx context.Context) error {
	networks, err := o.cloud.findPrivateNetworks(ctx)
	if err != nil {
		return err
	}
	if o.spec.Network.ID != "" {
		existing, err := o.cloud.existingPrivateNetwork(ctx, o.spec.Network.ID)
		switch {
		case err != nil:
			return err
		case existing == nil:
			o.miss(o.cloud.locateNetwork(ctx, o.spec.Network.ID))
		default:
			networks = append(slices.DeleteFunc(networks, func(n *stack.PrivateNetwork) bool { return n.ID == existing.ID }), existing)
		}
	}
	networks, err = complete(networks, func(network *stack.PrivateNetwork) error {
		addresses, err := o.cloud.findPrivateIPs(ctx, network.ID)
		addAll(o, addresses)
		return explain(err, stack.KindPrivateIP)
	})
	addAll(o, networks)
	return err
}

func (c *Cloud) createPrivateNetwork(ctx context.Context, r *stack.PrivateNetwork, _ func(string)) error {
	created, err := ensure(ctx, c, maker[*stack.PrivateNetwork]{
		find: c.findPrivateNetworks,
		create: func(ctx context.Context) (*stack.PrivateNetwork, error) {
			n, err := c.vpc.CreatePrivateNetwork(&vpc.CreatePrivateNetworkRequest{
				Region: c.region, ProjectID: c.project, Name: r.Name, Tags: c.tags(""), VpcID: &r.VPC.ID,
				Subnets: []scw.IPNet{ipNet(r.CIDR)},
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newPrivateNetwork(n), nil
		},
		remove: c.deletePrivateNetwork,
	})
	return copyCreated(r, created, err)
}

func (c *Cloud) findPrivateNetworks(ctx context.Context) ([]*stack.PrivateNetwork, error) {
	list, err := c.vpc.ListPrivateNetworks(&vpc.ListPrivateNetworksRequest{Region: c.region, ProjectID: &c.project, Tags: c.tags("")},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*stack.PrivateNetwork
	for _, n := range list.PrivateNetworks {
		if c.owns(n.ProjectID, n.Tags) {
			found = append(found, newPrivateNetwork(n))
		}
	}
	return found, nil
}

func newPrivateNetwork(n *vpc.PrivateNetwork) *stack.PrivateNetwork {
	network := &stack.PrivateNetwork{
		ResourceMeta: stack.ResourceMeta{ID: n.ID, Name: n.Name, CreatedAt: timeOf(n.CreatedAt)},
		VPC:          &stack.VPC{ResourceMeta: stack.ResourceMeta{ID: n.VpcID}},
	}
	for _, subnet := range n.Subnets {
		if cidr := prefix(subnet.Subnet); cidr.Addr().Is4() {
			network.CIDR = cidr.Masked()
		}
	}
	return network
}

// existingPrivateNetwork returns the network that egress.yaml names by its ID, or
// nil if there is none.
func (c *Cloud) existingPrivateNetwork(ctx context.Context, id string) (*stack.PrivateNetwork, error) {
	n, err := c.vpc.GetPrivateNetwork(&vpc.GetPrivateNetworkRequest{Region: c.region, PrivateNetworkID: id}, scw.WithContext(ctx))
	switch {
	case isNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	network := newPrivateNetwork(n)
	network.Existing = true
	return network, nil
}

// locateNetwork returns the error about a network that is not in the region. It
// names the region that has it.
func (c *Cloud) locateNetwork(ctx context.Context, id string) error {
	for _, region := range scw.AllRegions {
		if region == c.region {
			continue
		}
		_, err := c.vpc.GetPrivateNetwork(&vpc.GetPrivateNetworkRequest{Region: region, PrivateNetworkID: id}, scw.WithContext(ctx))
		if err == nil {
			return fmt.Errorf("spec.network.id: the Private Network %s is in the region %s, and egress.yaml says %s: networks do not span regions", id, region, c.region)
		}
	}
	return fmt.Errorf("spec.network.id: there is no Private Network %s, or the API key may not see it", id)
}

func (c *Cloud) updatePrivateNetwork(ctx context.Context, r *stack.PrivateNetwork, _ []stack.Change, _ func(string)) error {
	_, err := c.vpc.UpdatePrivateNetwork(&vpc.UpdatePrivateNetworkRequest{Region: c.region, PrivateNetworkID: r.ID, Name: &r.Name}, scw.WithContext(ctx))
	return err
}

func (c *Cloud) deletePrivateNetwork(ctx context.Context, r *stack.PrivateNetwork, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		return c.vpc.DeletePrivateNetwork(&vpc.DeletePrivateNetworkRequest{Region: c.region, PrivateNetworkID: r.ID}, scw.WithContext(ctx))
	})
	if err == nil || !isInUse(err) {
		return err
	}
	// The API does not report which resources use the network.
	if users := c.networkUsers(ctx, r.ID); users != "" {
		return fmt.Errorf("it is still used by %s: remove the resources that are not bootstrap's, then run this again (%w)", users, err)
	}
	return err
}

// networkUsers lists the holders of addresses in a network.
func (c *Cloud) networkUsers(ctx context.Context, id string) string {
	list, err := c.ipam.ListIPs(&ipam.ListIPsRequest{Region: c.region, PrivateNetworkID: &id}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return ""
	}
	var users []string
	for _, ip := range list.IPs {
		if !ip.IsIPv6 {
			users = append(users, addressUser(ip))
		}
	}
	return strings.Join(users, ", ")
}
