package scaleway

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/api/ipam/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func (c *Cloud) createFlexibleIP(ctx context.Context, r *stack.FlexibleIP) error {
	made, err := ensure(ctx, c, maker[*stack.FlexibleIP]{
		find: func(ctx context.Context) ([]*stack.FlexibleIP, error) {
			all, err := c.findFlexibleIPs(ctx)
			return slices.DeleteFunc(all, func(a *stack.FlexibleIP) bool { return a.Role != r.Role }), err
		},
		create: func(ctx context.Context) (*stack.FlexibleIP, error) {
			response, err := c.instance.CreateIP(&instance.CreateIPRequest{
				Zone: c.zone, Project: &c.project, Tags: c.tags(r.Role), Type: instance.IPTypeRoutedIPv4,
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newFlexibleIP(response.IP), nil
		},
		remove: func(ctx context.Context, a *stack.FlexibleIP) error { return c.deleteFlexibleIP(ctx, a.ID) },
	})
	return adopt(r, made, err)
}

func (c *Cloud) findFlexibleIPs(ctx context.Context) ([]*stack.FlexibleIP, error) {
	list, err := c.instance.ListIPs(&instance.ListIPsRequest{Zone: c.zone, Project: &c.project, Tags: c.tags("")},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*stack.FlexibleIP
	roles, ipamIDs := map[string]bool{}, map[string]string{}
	for _, ip := range list.IPs {
		if c.owns(ip.Project, ip.Tags) {
			found = append(found, newFlexibleIP(ip))
			roles[stack.Role(ip.Tags)] = true
			ipamIDs[ip.ID] = ip.IpamID
		}
	}
	if len(roles) == len(found) {
		return found, nil // one for each purpose: their ages do not matter
	}
	return c.withAges(ctx, found, ipamIDs)
}

func newFlexibleIP(ip *instance.IP) *stack.FlexibleIP {
	if ip == nil {
		return &stack.FlexibleIP{}
	}
	address, _ := netip.AddrFromSlice(ip.Address)
	result := &stack.FlexibleIP{ResourceMeta: stack.ResourceMeta{ID: ip.ID, Name: address.Unmap().String()}, Role: stack.Role(ip.Tags), Address: address.Unmap()}
	if ip.Server != nil {
		result.ServerID = ip.Server.ID
	}
	return result
}

// withAges completes addresses with their ages. The Instance API tells none;
// IPAM, which keeps account of all addresses, does. What it does not know any
// more is gone.
func (c *Cloud) withAges(ctx context.Context, addresses []*stack.FlexibleIP, ipamIDs map[string]string) ([]*stack.FlexibleIP, error) {
	list, err := c.ipam.ListIPs(&ipam.ListIPsRequest{Region: c.region, ProjectID: &c.project, Zonal: new(string(c.zone))},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, explain(err, stack.KindPrivateIP)
	}
	created := map[string]*time.Time{}
	for _, ip := range list.IPs {
		created[ip.ID] = ip.CreatedAt
	}
	if len(created) == 0 {
		return addresses, nil // it keeps no account of them after all
	}
	return slices.DeleteFunc(addresses, func(a *stack.FlexibleIP) bool {
		at := created[ipamIDs[a.ID]]
		if at == nil {
			return true
		}
		a.CreatedAt = *at
		return false
	}), nil
}

// attach gives an address to the server, and takes it from another one if need
// be.
func (c *Cloud) attach(ctx context.Context, r *stack.Attachment) error {
	current, err := c.instance.GetIP(&instance.GetIPRequest{Zone: c.zone, IP: r.IP.ID}, scw.WithContext(ctx))
	if err == nil && current.IP == nil {
		err = errIncomplete
	}
	if err != nil {
		return err
	}
	if current.IP.Server != nil && current.IP.Server.ID != r.Server.ID {
		if err := c.setServer(ctx, r.IP.ID, &instance.NullableStringValue{Null: true}); err != nil {
			return err
		}
	}
	if current.IP.Server == nil || current.IP.Server.ID != r.Server.ID {
		if err := c.setServer(ctx, r.IP.ID, &instance.NullableStringValue{Value: r.Server.ID}); err != nil {
			return err
		}
	}
	r.ID = r.IP.ID
	return nil
}

func (c *Cloud) setServer(ctx context.Context, address string, server *instance.NullableStringValue) error {
	_, err := c.instance.UpdateIP(&instance.UpdateIPRequest{Zone: c.zone, IP: address, Server: server}, scw.WithContext(ctx))
	return err
}

func (c *Cloud) deleteFlexibleIP(ctx context.Context, id string) error {
	return c.persist(ctx, silent, func(ctx context.Context) error {
		return c.instance.DeleteIP(&instance.DeleteIPRequest{Zone: c.zone, IP: id}, scw.WithContext(ctx))
	})
}
