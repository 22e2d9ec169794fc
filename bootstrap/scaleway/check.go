package scaleway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/api/ipam/v1"
	"github.com/scaleway/scaleway-sdk-go/api/registry/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// Check implements stack.Cloud. It asks only about what the plan makes.
func (c *Cloud) Check(ctx context.Context, spec stack.Spec, plan *stack.Plan) error {
	var errs []error
	types := serverTypes{cloud: c, byZone: map[scw.Zone]map[string]*instance.ServerType{}}
	for _, step := range plan.Steps {
		if step.Action != stack.Create && step.Action != stack.Replace {
			continue
		}
		var err error
		switch r := step.Resource().(type) {
		case *stack.Server:
			err = c.checkServer(ctx, types, r)
		case *stack.Pool:
			err = checkNodeType(ctx, types, r)
		case *stack.Cluster:
			_, err = c.kubernetesVersion(ctx, r.Version)
		case *stack.PrivateIP:
			err = c.checkAddress(ctx, r, plan)
		case *stack.Registry:
			err = c.checkRegistry(ctx, r)
		}
		if err != nil {
			errs = append(errs, explain(err, step.Kind))
		}
	}
	if err := CheckPlace(spec.Zone, spec.Region); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// serverTypes are the types of machines that zones have, each asked for once.
type serverTypes struct {
	cloud  *Cloud
	byZone map[scw.Zone]map[string]*instance.ServerType
}

func (t serverTypes) in(ctx context.Context, zone scw.Zone) (map[string]*instance.ServerType, error) {
	if types, ok := t.byZone[zone]; ok {
		return types, nil
	}
	list, err := t.cloud.instance.ListServersTypes(&instance.ListServersTypesRequest{Zone: zone}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(list.Servers, func(_ string, t *instance.ServerType) bool { return t == nil })
	t.byZone[zone] = list.Servers
	return list.Servers, nil
}

// checkServer looks for the server's type, and for the image, which has to fit
// the type if that exists.
func (c *Cloud) checkServer(ctx context.Context, types serverTypes, server *stack.Server) error {
	there, err := types.in(ctx, c.zone)
	if err != nil {
		return err
	}
	if there[server.Type] == nil {
		_, err := c.image(ctx, server.Image, "")
		return errors.Join(
			fmt.Errorf("proxy.type: there is no %s in %s; there are %s", server.Type, c.zone, strings.Join(similar(there, server.Type), ", ")), err)
	}
	_, err = c.image(ctx, server.Image, server.Type)
	return err
}

// similar lists the types of the same family, or all of them if it has none.
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

func checkNodeType(ctx context.Context, types serverTypes, pool *stack.Pool) error {
	there, err := types.in(ctx, scw.Zone(pool.Zone))
	if err != nil {
		return err
	}
	for name := range there {
		if stack.NormalNodeType(name) == pool.NodeType {
			return nil
		}
	}
	wanted := strings.ToUpper(strings.ReplaceAll(pool.NodeType, "_", "-"))
	return fmt.Errorf("cluster.pools[%s].nodeType: there is no %s in %s; there are %s",
		pool.Name, wanted, pool.Zone, strings.Join(similar(there, wanted), ", "))
}

// checkAddress says who has the proxy's address already. In a network that is
// yet to be made, nobody has.
func (c *Cloud) checkAddress(ctx context.Context, wanted *stack.PrivateIP, plan *stack.Plan) error {
	network := wanted.Network.ID
	if network == "" {
		return nil
	}
	list, err := c.ipam.ListIPs(&ipam.ListIPsRequest{Region: c.region, PrivateNetworkID: &network}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return err
	}
	for _, ip := range list.IPs {
		ours := c.owns(ip.ProjectID, ip.Tags) // another run may be at it
		if prefix(ip.Address).Addr() == wanted.Address && !ours && !goes(plan, ip.ID) {
			return fmt.Errorf("proxy.privateIP: %s is taken by %s", wanted.Address, addressUser(ip))
		}
	}
	return nil
}

// goes says whether a plan deletes a resource.
func goes(plan *stack.Plan, id string) bool {
	return slices.ContainsFunc(plan.Steps, func(s *stack.Step) bool { return s.Action == stack.Delete && s.ResourceID == id })
}

// checkRegistry says that the project has a namespace of that name, which the
// set-up did not make. Those of others cannot be seen.
func (c *Cloud) checkRegistry(ctx context.Context, wanted *stack.Registry) error {
	list, err := c.registry.ListNamespaces(&registry.ListNamespacesRequest{Region: c.region, ProjectID: &c.project, Name: &wanted.Name},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return err
	}
	for _, n := range list.Namespaces {
		if n.Name == wanted.Name && n.Description != stack.RegistryDescription(c.name) && n.Status != registry.NamespaceStatusDeleting {
			return fmt.Errorf("registry.name: there is a namespace %s already, and this set-up did not make it: choose another name, or leave registry out", n.Name)
		}
	}
	return nil
}

// alternatives tells what could be had instead of what is sold out.
func (c *Cloud) alternatives(ctx context.Context, resource stack.Resource) string {
	server, ok := resource.(*stack.Server)
	if !ok {
		return "choose another type, or another zone"
	}
	var types, zones []string
	here, err := c.availability(ctx, c.zone)
	if err != nil {
		return "choose another type, or another zone"
	}
	family, _, _ := strings.Cut(server.Type, "-")
	for name, available := range here {
		if available && strings.HasPrefix(name, family+"-") && name != server.Type {
			types = append(types, name)
		}
	}
	for _, zone := range c.region.GetZones() {
		if zone == c.zone {
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

// availability says of each type of a zone whether it can be had now.
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
