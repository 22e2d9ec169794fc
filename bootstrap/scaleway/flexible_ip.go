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

func flexibleIPRow() operations {
	return row[*stack.FlexibleIP]{
		kind: stack.KindFlexibleIP, permission: permissionInstances, foundWith: stack.KindServer,
		create: (*Cloud).createFlexibleIP, delete: (*Cloud).deleteFlexibleIP,
	}.untyped()
}

func (c *Cloud) createFlexibleIP(ctx context.Context, r *stack.FlexibleIP, _ func(string)) error {
	zone := scw.Zone(r.Zone)
	created, err := ensure(ctx, c, maker[*stack.FlexibleIP]{
		find: func(ctx context.Context) ([]*stack.FlexibleIP, error) {
			all, err := c.findFlexibleIPs(ctx, zone)
			return slices.DeleteFunc(all, func(a *stack.FlexibleIP) bool { return a.Role != r.Role }), err
		},
		create: func(ctx context.Context) (*stack.FlexibleIP, error) {
			response, err := c.instance.CreateIP(&instance.CreateIPRequest{
				Zone: zone, Project: &c.project, Tags: c.tags(r.Role), Type: instance.IPTypeRoutedIPv4,
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newFlexibleIP(zone, response.IP), nil
		},
		remove: c.deleteFlexibleIP,
	})
	return copyCreated(r, created, err)
}

// findFlexibleIPs returns the stack's addresses in a zone.
func (c *Cloud) findFlexibleIPs(ctx context.Context, zone scw.Zone) ([]*stack.FlexibleIP, error) {
	list, err := c.instance.ListIPs(&instance.ListIPsRequest{Zone: zone, Project: &c.project, Tags: c.tags("")},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*stack.FlexibleIP
	roles, ipamIDs := map[string]bool{}, map[string]string{}
	for _, ip := range list.IPs {
		if c.owns(ip.Project, ip.Tags) {
			found = append(found, newFlexibleIP(zone, ip))
			roles[stack.Role(ip.Tags)] = true
			ipamIDs[ip.ID] = ip.IpamID
		}
	}
	if len(roles) == len(found) {
		return found, nil // one for each role: their ages do not matter
	}
	return c.withAges(ctx, zone, found, ipamIDs)
}

func newFlexibleIP(zone scw.Zone, ip *instance.IP) *stack.FlexibleIP {
	if ip == nil {
		return &stack.FlexibleIP{}
	}
	address, _ := netip.AddrFromSlice(ip.Address)
	result := &stack.FlexibleIP{ResourceMeta: stack.ResourceMeta{ID: ip.ID, Name: address.Unmap().String()}, Role: stack.Role(ip.Tags), Zone: string(zone), Address: address.Unmap()}
	if ip.Server != nil {
		result.ServerID, result.State = ip.Server.ID, ip.State.String()
	}
	return result
}

// withAges adds the ages to addresses. The Instance API does not report them;
// IPAM, which lists all addresses, does. An address that IPAM does not list any
// more is gone.
func (c *Cloud) withAges(ctx context.Context, zone scw.Zone, addresses []*stack.FlexibleIP, ipamIDs map[string]string) ([]*stack.FlexibleIP, error) {
	list, err := c.ipam.ListIPs(&ipam.ListIPsRequest{Region: c.region, ProjectID: &c.project, Zonal: new(string(zone))},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, explain(err, stack.KindPrivateIP)
	}
	created := map[string]*time.Time{}
	for _, ip := range list.IPs {
		created[ip.ID] = ip.CreatedAt
	}
	if len(created) == 0 {
		return addresses, nil // IPAM does not list flexible addresses after all
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

func (c *Cloud) deleteFlexibleIP(ctx context.Context, r *stack.FlexibleIP, report func(string)) error {
	return c.persist(ctx, report, func(ctx context.Context) error {
		return c.instance.DeleteIP(&instance.DeleteIPRequest{Zone: scw.Zone(r.Zone), IP: r.ID}, scw.WithContext(ctx))
	})
}

func attachmentRow() operations {
	return row[*stack.Attachment]{
		kind: stack.KindAttachment, permission: permissionInstances, foundWith: stack.KindServer,
		create: (*Cloud).attach,
		update: func(c *Cloud, ctx context.Context, r *stack.Attachment, _ []stack.Change, report func(string)) error {
			return c.attach(ctx, r, report)
		},
	}.untyped()
}

// attach attaches an address to its server. It detaches the address first if another
// server has it, or if an earlier attachment failed.
func (c *Cloud) attach(ctx context.Context, r *stack.Attachment, report func(string)) error {
	current, err := c.getFlexibleIP(ctx, r.IP)
	if err != nil {
		return err
	}
	attached := current.Server != nil && current.Server.ID == r.Server.ID
	if current.Server != nil && (!attached || current.State == instance.IPStateError) {
		if err := c.setServer(ctx, r.IP, &instance.NullableStringValue{Null: true}); err != nil {
			return err
		}
		attached = false
	}
	if !attached {
		if err := c.setServer(ctx, r.IP, &instance.NullableStringValue{Value: r.Server.ID}); err != nil {
			return err
		}
	}
	r.ID = r.IP.ID
	return c.awaitAttached(ctx, r, report)
}

// awaitAttached waits until an address is attached. On a running server that takes some
// seconds, during which it is "pending".
func (c *Cloud) awaitAttached(ctx context.Context, r *stack.Attachment, report func(string)) error {
	_, err := await(ctx, c, report, func(ctx context.Context) (struct{}, string, error) {
		ip, err := c.getFlexibleIP(ctx, r.IP)
		if err != nil {
			return struct{}{}, "", err
		}
		if ip.Server == nil || ip.Server.ID != r.Server.ID {
			return struct{}{}, instance.IPStateDetached.String(), nil
		}
		return struct{}{}, ip.State.String(), nil
	}, []string{stack.StateAttached}, []string{instance.IPStateError.String(), instance.IPStateDetached.String()})
	return err
}

func (c *Cloud) getFlexibleIP(ctx context.Context, r *stack.FlexibleIP) (*instance.IP, error) {
	response, err := c.instance.GetIP(&instance.GetIPRequest{Zone: scw.Zone(r.Zone), IP: r.ID}, scw.WithContext(ctx))
	switch {
	case err != nil:
		return nil, err
	case response.IP == nil:
		return nil, errIncomplete
	}
	return response.IP, nil
}

func (c *Cloud) setServer(ctx context.Context, r *stack.FlexibleIP, server *instance.NullableStringValue) error {
	_, err := c.instance.UpdateIP(&instance.UpdateIPRequest{Zone: scw.Zone(r.Zone), IP: r.ID, Server: server}, scw.WithContext(ctx))
	return err
}
