package scaleway

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/api/ipam/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func (c *Cloud) createVPC(ctx context.Context, r *stack.VPC) error {
	made, err := ensure(ctx, c, maker[*stack.VPC]{
		find: c.findVPCs,
		create: func(ctx context.Context) (*stack.VPC, error) {
			v, err := c.vpc.CreateVPC(&vpc.CreateVPCRequest{
				Region: c.region, ProjectID: c.project, Name: r.Name, Tags: c.tags(""), EnableRouting: true,
			}, scw.WithContext(ctx))
			return newVPC(v), err
		},
		remove: func(ctx context.Context, v *stack.VPC) error { return c.deleteVPC(ctx, v.ID, silent) },
	})
	return adopt(r, made, err)
}

// adopt has a wanted resource take over what was made.
func adopt[R stack.Resource](wanted, made R, err error) error {
	if err != nil {
		return err
	}
	wanted.CopyObserved(made)
	return nil
}

// silent is for waits that nobody needs to be told of.
func silent(string) {}

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

// owns says whether a resource is the set-up's. The filters of the API are not
// relied on: they differ from product to product.
func (c *Cloud) owns(project string, tags []string) bool {
	return project == c.project && slices.Contains(tags, stack.OwnerTag(c.name))
}

func newVPC(v *vpc.VPC) *stack.VPC {
	if v == nil {
		return nil
	}
	return &stack.VPC{ResourceMeta: stack.ResourceMeta{ID: v.ID, Name: v.Name, CreatedAt: when(v.CreatedAt)}}
}

func (c *Cloud) deleteVPC(ctx context.Context, id string, report func(string)) error {
	return c.persist(ctx, report, func(ctx context.Context) error {
		return c.vpc.DeleteVPC(&vpc.DeleteVPCRequest{Region: c.region, VpcID: id}, scw.WithContext(ctx))
	})
}

func (c *Cloud) createPrivateNetwork(ctx context.Context, r *stack.PrivateNetwork) error {
	made, err := ensure(ctx, c, maker[*stack.PrivateNetwork]{
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
		remove: func(ctx context.Context, n *stack.PrivateNetwork) error {
			return c.deletePrivateNetwork(ctx, n.ID, silent)
		},
	})
	return adopt(r, made, err)
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
		ResourceMeta: stack.ResourceMeta{ID: n.ID, Name: n.Name, CreatedAt: when(n.CreatedAt)},
		VPC:          &stack.VPC{ResourceMeta: stack.ResourceMeta{ID: n.VpcID}},
	}
	for _, subnet := range n.Subnets {
		if cidr := prefix(subnet.Subnet); cidr.Addr().Is4() {
			network.CIDR = cidr.Masked()
		}
	}
	return network
}

// givenPrivateNetwork looks for a network that is named by its ID; nil: it is
// not there.
func (c *Cloud) givenPrivateNetwork(ctx context.Context, id string) (*stack.PrivateNetwork, error) {
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

// whereIsNetwork says of a network that is not there where it is instead.
func (c *Cloud) whereIsNetwork(ctx context.Context, id string) error {
	for _, region := range scw.AllRegions {
		if region == c.region {
			continue
		}
		_, err := c.vpc.GetPrivateNetwork(&vpc.GetPrivateNetworkRequest{Region: region, PrivateNetworkID: id}, scw.WithContext(ctx))
		if err == nil {
			return fmt.Errorf("network.id: the Private Network %s is in the region %s, and egress.yaml says %s: networks do not span regions", id, region, c.region)
		}
	}
	return fmt.Errorf("network.id: there is no Private Network %s, or the API key may not see it", id)
}

func (c *Cloud) deletePrivateNetwork(ctx context.Context, id string, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		return c.vpc.DeletePrivateNetwork(&vpc.DeletePrivateNetworkRequest{Region: c.region, PrivateNetworkID: id}, scw.WithContext(ctx))
	})
	if err == nil || !isInUse(err) {
		return err
	}
	// What the API does not tell: by whom.
	if users := c.networkUsers(ctx, id); users != "" {
		return fmt.Errorf("it is still used by %s: remove what is not bootstrap's, then run this again (%w)", users, err)
	}
	return err
}

// networkUsers tells who has addresses in a network.
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

// addressUser says who has an address.
func addressUser(ip *ipam.IP) string {
	address := prefix(ip.Address).Addr().String()
	switch {
	case ip.Resource == nil:
		return "a booking of " + address
	case ip.Resource.Name != nil && *ip.Resource.Name != "":
		return fmt.Sprintf("%s %s (%s)", ip.Resource.Type, *ip.Resource.Name, address)
	default:
		return fmt.Sprintf("%s %s (%s)", ip.Resource.Type, ip.Resource.ID, address)
	}
}

func (c *Cloud) bookPrivateIP(ctx context.Context, r *stack.PrivateIP) error {
	made, err := ensure(ctx, c, maker[*stack.PrivateIP]{
		find: func(ctx context.Context) ([]*stack.PrivateIP, error) {
			all, err := c.findPrivateIPs(ctx, r.Network.ID)
			return slices.DeleteFunc(all, func(a *stack.PrivateIP) bool { return a.Address != r.Address }), err
		},
		create: func(ctx context.Context) (*stack.PrivateIP, error) {
			address := net.IP(r.Address.AsSlice())
			ip, err := c.ipam.BookIP(&ipam.BookIPRequest{
				Region: c.region, ProjectID: c.project, Tags: c.tags(""), Address: &address,
				Source: &ipam.Source{PrivateNetworkID: &r.Network.ID},
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newPrivateIP(ip, r.Network), nil
		},
		remove: func(ctx context.Context, a *stack.PrivateIP) error { return c.releasePrivateIP(ctx, a.ID, silent) },
	})
	return adopt(r, made, err)
}

// findPrivateIPs returns the set-up's bookings in a network.
func (c *Cloud) findPrivateIPs(ctx context.Context, network string) ([]*stack.PrivateIP, error) {
	list, err := c.ipam.ListIPs(&ipam.ListIPsRequest{Region: c.region, ProjectID: &c.project, PrivateNetworkID: &network, Tags: c.tags("")},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*stack.PrivateIP
	for _, ip := range list.IPs {
		if c.owns(ip.ProjectID, ip.Tags) && !ip.IsIPv6 {
			found = append(found, newPrivateIP(ip, &stack.PrivateNetwork{ResourceMeta: stack.ResourceMeta{ID: network}}))
		}
	}
	return found, nil
}

func newPrivateIP(ip *ipam.IP, network *stack.PrivateNetwork) *stack.PrivateIP {
	address := prefix(ip.Address).Addr()
	return &stack.PrivateIP{ResourceMeta: stack.ResourceMeta{ID: ip.ID, Name: address.String(), CreatedAt: when(ip.CreatedAt)}, Network: network, Address: address}
}

func (c *Cloud) releasePrivateIP(ctx context.Context, id string, report func(string)) error {
	return c.persist(ctx, report, func(ctx context.Context) error {
		return c.ipam.ReleaseIP(&ipam.ReleaseIPRequest{Region: c.region, IPID: id}, scw.WithContext(ctx))
	})
}

// prefix is the SDK's form of a network, or of an address with its network's
// length, in ours.
func prefix(n scw.IPNet) netip.Prefix {
	address, ok := netip.AddrFromSlice(n.IP)
	if !ok {
		return netip.Prefix{}
	}
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(address.Unmap(), bits)
}

func ipNet(p netip.Prefix) scw.IPNet {
	return scw.IPNet{IPNet: net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
}
