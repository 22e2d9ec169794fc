package scaleway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// Adoptable is a resource that another tool has created. Tags make it the stack's.
type Adoptable struct {
	// Resources are the resource, and those that belong to it: the networks of a
	// gateway, the attachment of an address. Observe returns the same ones after Adopt.
	Resources []stack.Resource
	// Lacks are the tags that Adopt adds. There are none if the stack owns the resource.
	Lacks []string
	// Ages are the times of creation of the project's addresses, by their IDs. Observe
	// only reports them where a role has several addresses.
	Ages map[string]time.Time

	role string
	// read returns the project and the tags as they are now.
	read func(context.Context) (project string, tags []string, err error)
	// set replaces the tags.
	set func(context.Context, []string) error
}

// Resource returns the resource itself.
func (a *Adoptable) Resource() stack.Resource { return a.Resources[0] }

// Adopt adds the tags of the stack to those that the resource has. It reads them again:
// since they were shown, another tool may have changed them, and another stack may have
// adopted the resource.
func (c *Cloud) Adopt(ctx context.Context, a *Adoptable) error {
	var last error
	err := c.persist(ctx, silent, func(ctx context.Context) error {
		last = c.addTags(ctx, a)
		return last
	})
	if err == nil {
		err = last // that the resource does not exist any more
	}
	return c.explain(ctx, err, a.Resource())
}

func (c *Cloud) addTags(ctx context.Context, a *Adoptable) error {
	project, tags, err := a.read(ctx)
	if err != nil {
		return err
	}
	lacks, err := c.lacks(project, tags, a.role)
	if err != nil || len(lacks) == 0 {
		return err
	}
	return a.set(ctx, append(slices.Clone(tags), lacks...))
}

// AdoptableGateway returns a Public Gateway in any zone of the region.
func (c *Cloud) AdoptableGateway(ctx context.Context, id string) (*Adoptable, error) {
	for _, zone := range within(c.region, gatewayZones()) {
		g, err := c.gateway.GetGateway(&vpcgw.GetGatewayRequest{Zone: zone, GatewayID: id}, scw.WithContext(ctx))
		switch {
		case isNotFound(err):
			continue
		case err != nil:
			return nil, explain(err, stack.KindGateway)
		}
		lacks, err := c.lacks(g.ProjectID, g.Tags, "")
		if err != nil {
			return nil, fmt.Errorf("the Public Gateway %s: %w", id, err)
		}
		return &Adoptable{
			Resources: gatewayResources(g), Lacks: lacks,
			read: func(ctx context.Context) (string, []string, error) {
				g, err := c.gateway.GetGateway(&vpcgw.GetGatewayRequest{Zone: zone, GatewayID: id}, scw.WithContext(ctx))
				if err != nil {
					return "", nil, err
				}
				return g.ProjectID, g.Tags, nil
			},
			set: func(ctx context.Context, tags []string) error {
				_, err := c.gateway.UpdateGateway(&vpcgw.UpdateGatewayRequest{Zone: zone, GatewayID: id, Tags: &tags}, scw.WithContext(ctx))
				return err
			},
		}, nil
	}
	return nil, fmt.Errorf("there is no Public Gateway %s in %s, or the API key may not see it", id, c.region)
}

// AdoptableAddress returns a flexible address in a zone, by its ID or by the address itself.
// The role is the one that it gets.
func (c *Cloud) AdoptableAddress(ctx context.Context, in, role, name string) (*Adoptable, error) {
	zone := scw.Zone(in)
	list, err := c.instance.ListIPs(&instance.ListIPsRequest{Zone: zone, Project: &c.project}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, explain(err, stack.KindFlexibleIP)
	}
	at := slices.IndexFunc(list.IPs, func(ip *instance.IP) bool { return ip.ID == name || publicAddress(ip).String() == name })
	if at < 0 {
		return nil, fmt.Errorf("there is no flexible address %s in %s and in the project %s: the address of a server in another zone, or of a Public Gateway, cannot be used", name, zone, c.project)
	}
	ip := list.IPs[at]
	if ip.Type != instance.IPTypeRoutedIPv4 {
		return nil, fmt.Errorf("the flexible address %s: its type is %s, and must be %s", name, ip.Type, instance.IPTypeRoutedIPv4)
	}
	lacks, err := c.lacks(ip.Project, ip.Tags, role)
	if err != nil {
		return nil, fmt.Errorf("the flexible address %s: %w", name, err)
	}
	address := newFlexibleIP(zone, ip)
	address.Role = role
	ages, err := c.ages(ctx, zone, list.IPs)
	if err != nil {
		return nil, err
	}
	address.CreatedAt = ages[ip.ID]
	return &Adoptable{
		Resources: append([]stack.Resource{address}, attachmentsOf(address)...), Lacks: lacks, Ages: ages, role: role,
		read: func(ctx context.Context) (string, []string, error) {
			ip, err := c.getFlexibleIP(ctx, address)
			if err != nil {
				return "", nil, err
			}
			return ip.Project, ip.Tags, nil
		},
		set: func(ctx context.Context, tags []string) error {
			_, err := c.instance.UpdateIP(&instance.UpdateIPRequest{Zone: zone, IP: ip.ID, Tags: &tags}, scw.WithContext(ctx))
			return err
		},
	}, nil
}

// ages returns the times of creation of addresses of a zone, by their IDs.
func (c *Cloud) ages(ctx context.Context, zone scw.Zone, all []*instance.IP) (map[string]time.Time, error) {
	addresses, ipamIDs := make([]*stack.FlexibleIP, 0, len(all)), map[string]string{}
	for _, ip := range all {
		addresses = append(addresses, newFlexibleIP(zone, ip))
		ipamIDs[ip.ID] = ip.IpamID
	}
	aged, err := c.withAges(ctx, zone, addresses, ipamIDs)
	ages := map[string]time.Time{}
	for _, address := range aged {
		ages[address.ID] = address.CreatedAt
	}
	return ages, err
}

func publicAddress(ip *instance.IP) netip.Addr {
	address, _ := netip.AddrFromSlice(ip.Address)
	return address.Unmap()
}

// lacks returns the tags that a resource lacks to be the stack's. Resources of another
// project or stack, and those with another role, are refused.
func (c *Cloud) lacks(project string, tags []string, role string) ([]string, error) {
	var errs []error
	if project != c.project {
		errs = append(errs, fmt.Errorf("it is in the project %s, and the stack is in %s", project, c.project))
	}
	if owner := stack.Owner(tags); owner != "" && owner != c.name {
		errs = append(errs, fmt.Errorf("it belongs to the stack %s: an address or gateway has one stack", owner))
	}
	if has := stack.Role(tags); has != "" && has != role {
		errs = append(errs, fmt.Errorf("it has the role %s in the stack already", has))
	}
	lacks := slices.DeleteFunc(c.tags(role), func(tag string) bool { return slices.Contains(tags, tag) })
	return lacks, errors.Join(errs...)
}
