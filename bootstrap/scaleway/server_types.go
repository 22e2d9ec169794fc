package scaleway

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// serverTypes returns the server types of a zone by name. It requests them once
// for each zone.
func (p *planCheck) serverTypes(ctx context.Context, zone scw.Zone) (map[string]*instance.ServerType, error) {
	if types, ok := p.typesByZone[zone]; ok {
		return types, nil
	}
	list, err := p.cloud.instance.ListServersTypes(&instance.ListServersTypesRequest{Zone: zone}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(list.Servers, func(_ string, t *instance.ServerType) bool { return t == nil })
	p.typesByZone[zone] = list.Servers
	return list.Servers, nil
}

// similar lists the types of the same family, or all types if the family does not
// exist.
func similar(types map[string]*instance.ServerType, wanted string) []string {
	family, _, _ := strings.Cut(wanted, "-")
	var all, same []string
	for name, t := range types {
		if t.EndOfService {
			continue
		}
		all = append(all, name)
		if strings.HasPrefix(name, family+"-") {
			same = append(same, name)
		}
	}
	if len(same) == 0 {
		same = all
	}
	slices.Sort(same)
	return same
}

// alternatives names types and zones that are available in place of a resource
// that is sold out.
func (c *Cloud) alternatives(ctx context.Context, resource stack.Resource) string {
	const unknown = "choose another type, or another zone"
	server, ok := resource.(*stack.Server)
	if !ok {
		return unknown
	}
	var types, zones []string
	here, err := c.availability(ctx, scw.Zone(server.Zone))
	if err != nil {
		return unknown
	}
	family, _, _ := strings.Cut(server.Type, "-")
	for name, available := range here {
		if available && strings.HasPrefix(name, family+"-") && name != server.Type {
			types = append(types, name)
		}
	}
	for _, zone := range c.region.GetZones() {
		if zone == scw.Zone(server.Zone) {
			continue
		}
		if there, err := c.availability(ctx, zone); err == nil && there[server.Type] {
			zones = append(zones, string(zone))
		}
	}
	slices.Sort(types)
	return fmt.Sprintf("there are %s here, and %s in %s", orNone(types), server.Type, orNone(zones))
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// availability returns, for each type of a zone, whether it is available now.
func (c *Cloud) availability(ctx context.Context, zone scw.Zone) (map[string]bool, error) {
	list, err := c.instance.GetServerTypesAvailability(&instance.GetServerTypesAvailabilityRequest{Zone: zone}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	available := map[string]bool{}
	for name, t := range list.Servers {
		available[name] = t.Availability != instance.ServerTypesAvailabilityShortage
	}
	return available, nil
}
