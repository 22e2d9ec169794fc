package scaleway

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/scaleway/scaleway-sdk-go/api/ipam/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func privateIPRow() operations {
	return row[*stack.PrivateIP]{
		kind: stack.KindPrivateIP, permission: "IPAMFullAccess", foundWith: stack.KindPrivateNetwork,
		create: (*Cloud).bookPrivateIP, delete: (*Cloud).releasePrivateIP, check: (*planCheck).privateIP,
	}.untyped()
}

func (c *Cloud) bookPrivateIP(ctx context.Context, r *stack.PrivateIP, _ func(string)) error {
	created, err := ensure(ctx, c, maker[*stack.PrivateIP]{
		find: func(ctx context.Context) ([]*stack.PrivateIP, error) {
			all, err := c.findPrivateIPs(ctx, r.Network.ID)
			return slices.DeleteFunc(all, func(a *stack.PrivateIP) bool { return a.Role != r.Role || !r.Free && a.Address != r.Address }), err
		},
		create: func(ctx context.Context) (*stack.PrivateIP, error) {
			ip, err := c.ipam.BookIP(&ipam.BookIPRequest{
				Region: c.region, ProjectID: c.project, Tags: c.tags(r.Role), Address: wantedAddress(r),
				Source: &ipam.Source{PrivateNetworkID: &r.Network.ID},
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newPrivateIP(ip, r.Network), nil
		},
		remove: c.releasePrivateIP,
	})
	return copyCreated(r, created, err)
}

// wantedAddress returns the address to book, nil if IPAM chooses it.
func wantedAddress(r *stack.PrivateIP) *net.IP {
	if r.Free {
		return nil
	}
	return new(net.IP(r.Address.AsSlice()))
}

// findPrivateIPs returns the stack's reservations in a network.
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
	return &stack.PrivateIP{
		ResourceMeta: stack.ResourceMeta{ID: ip.ID, Name: address.String(), CreatedAt: timeOf(ip.CreatedAt)},
		Role:         stack.Role(ip.Tags), Network: network, Address: address,
	}
}

func (c *Cloud) releasePrivateIP(ctx context.Context, r *stack.PrivateIP, report func(string)) error {
	return c.persist(ctx, report, func(ctx context.Context) error {
		return c.ipam.ReleaseIP(&ipam.ReleaseIPRequest{Region: c.region, IPID: r.ID}, scw.WithContext(ctx))
	})
}

// privateIP returns an error that names the holder of an address that is already
// in use. In a network that does not exist yet, no address is.
func (p *planCheck) privateIP(ctx context.Context, wanted *stack.PrivateIP) error {
	c, network := p.cloud, wanted.Network.ID
	if network == "" || wanted.Free {
		return nil
	}
	list, err := c.ipam.ListIPs(&ipam.ListIPsRequest{Region: c.region, PrivateNetworkID: &network}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return err
	}
	for _, ip := range list.IPs {
		ours := c.owns(ip.ProjectID, ip.Tags) // another run may be creating it
		if prefix(ip.Address).Addr() == wanted.Address && !ours && !p.deletes(ip.ID) {
			return fmt.Errorf("%s: %s is taken by %s", p.addressField(wanted.Address), wanted.Address, addressUser(ip))
		}
	}
	return nil
}

// addressField returns the path of the field with the private address of a machine.
func (p *planCheck) addressField(address netip.Addr) string {
	for _, machine := range p.spec.Machines() {
		if machine.PrivateIP == address {
			return machine.Field
		}
	}
	return "spec.proxy"
}

// addressUser names the holder of an address.
func addressUser(ip *ipam.IP) string {
	address := prefix(ip.Address).Addr().String()
	switch {
	case ip.Resource == nil:
		return "a reservation of " + address
	case ip.Resource.Name != nil && *ip.Resource.Name != "":
		return fmt.Sprintf("%s %s (%s)", ip.Resource.Type, *ip.Resource.Name, address)
	default:
		return fmt.Sprintf("%s %s (%s)", ip.Resource.Type, ip.Resource.ID, address)
	}
}
