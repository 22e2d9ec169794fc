package scaleway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/scaleway/scaleway-sdk-go/api/block/v1"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"
	"golang.org/x/sync/errgroup"

	"egress.scw/bootstrap/stack"
)

// zoneContent is the content of a zone as the API lists it.
type zoneContent struct {
	zone      scw.Zone
	groups    []*stack.SecurityGroup
	servers   []*instance.Server
	volumes   []*block.Volume
	addresses []*stack.FlexibleIP
}

// zones adds the resources that are in zones: security groups, flexible addresses, servers
// with their parts, and volumes that have lost their server.
//
// It looks in all zones of the region, because egress.yaml does not say which zones it
// named before. In a zone that it does not name now, it looks for a security group first:
// a zone without one has nothing of the stack. A zone that does not answer is an error:
// machines in it would be taken for machines that do not exist.
func (o *observation) zones(ctx context.Context) error {
	var named []scw.Zone
	for _, machine := range o.spec.Machines() {
		named = append(named, scw.Zone(machine.Zone))
	}
	all := within(o.cloud.region, machineZones())
	for _, zone := range named {
		if !slices.Contains(all, zone) {
			all = append(all, zone)
		}
	}
	contents := make([]*zoneContent, len(all))
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, zone := range all {
		group.Go(func() { contents[i], errs[i] = o.cloud.contentOf(ctx, zone, slices.Contains(named, zone)) })
	}
	group.Wait()
	if err := errorOfZones(all, errs); err != nil {
		return err
	}
	return o.addZones(ctx, contents)
}

// contentOf lists a zone. One that egress.yaml does not name is listed completely only if
// it has a security group.
func (c *Cloud) contentOf(ctx context.Context, zone scw.Zone, named bool) (*zoneContent, error) {
	content := &zoneContent{zone: zone}
	if !named {
		if err := content.listGroups(ctx, c); err != nil || len(content.groups) == 0 {
			return content, explain(err, stack.KindSecurityGroup)
		}
	}
	var group sync.WaitGroup
	var groupsErr, serversErr, volumesErr, addressesErr error
	if named {
		group.Go(func() { groupsErr = content.listGroups(ctx, c) })
	}
	group.Go(func() { content.servers, serversErr = c.listServers(ctx, zone) })
	group.Go(func() { content.volumes, volumesErr = c.findVolumes(ctx, zone) })
	group.Go(func() { content.addresses, addressesErr = c.findFlexibleIPs(ctx, zone) })
	group.Wait()
	// Once the credentials are rejected, the other requests are cancelled. Their
	// errors add nothing.
	all := []error{groupsErr, serversErr, addressesErr, volumesErr}
	if i := slices.IndexFunc(all, isDenied); i >= 0 {
		return nil, all[i]
	}
	// All but volumes belong to one product, and fail for the same reasons.
	instances := cmp.Or(groupsErr, serversErr, addressesErr)
	return content, errors.Join(explain(instances, stack.KindServer), explain(volumesErr, stack.KindVolume))
}

// listGroups lists the security groups with their rules.
func (z *zoneContent) listGroups(ctx context.Context, c *Cloud) error {
	groups, err := c.findSecurityGroups(ctx, z.zone)
	if err != nil {
		return err
	}
	z.groups, err = complete(groups, func(group *stack.SecurityGroup) error { return c.readRules(ctx, group) })
	return err
}

// errorOfZones joins the errors of zones, and names the zones that have each of them.
func errorOfZones(zones []scw.Zone, errs []error) error {
	if i := slices.IndexFunc(errs, isDenied); i >= 0 {
		return errs[i]
	}
	var joined []error
	for i, err := range errs {
		same := func(other error) bool { return other != nil && messageOf(other) == messageOf(err) }
		if err == nil || slices.ContainsFunc(errs[:i], same) {
			continue
		}
		var places []string
		for j, other := range errs {
			if same(other) {
				places = append(places, string(zones[j]))
			}
		}
		joined = append(joined, fmt.Errorf("in %s: %w", strings.Join(places, ", "), err))
	}
	return errors.Join(joined...)
}

// addZones adds the content of all zones. There should be one machine for each role,
// whatever its zone.
func (o *observation) addZones(ctx context.Context, contents []*zoneContent) error {
	byID := map[string]*instance.Server{}
	var found []*stack.Server
	for _, content := range contents {
		addAll(o, content.groups)
		addAll(o, content.addresses)
		for _, address := range content.addresses {
			o.add(attachmentsOf(address)...)
		}
		for _, s := range content.servers {
			found = append(found, newServer(content.zone, s))
			byID[s.ID] = s
		}
	}
	stack.SortByAge(found)
	staying := map[string]*stack.Server{} // by role: the oldest one
	for _, s := range found {
		if !s.Deleting && staying[s.Role] == nil {
			staying[s.Role] = s
		}
	}
	for _, content := range contents {
		o.addVolumes(content, found, staying)
	}
	addAll(o, found)
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range staying {
		group.Go(func() error {
			if err := o.parts(ctx, s, byID[s.ID]); err != nil {
				return fmt.Errorf("in %s: %w", s.Zone, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// addVolumes adds the volumes of a zone. Only the server that stays has its volume as a
// part. The volumes of the other servers go away with them.
func (o *observation) addVolumes(content *zoneContent, servers []*stack.Server, staying map[string]*stack.Server) {
	volumes := content.volumes
	for _, s := range servers {
		if s.Zone == string(content.zone) {
			s.VolumeGB = o.spec.Proxy.VolumeGB // unless its volume has another size
			volumes = o.claimVolumes(s, volumes, s == staying[s.Role])
		}
	}
	for _, v := range volumes {
		o.add(newVolume(content.zone, v, nil))
	}
}

// claimVolumes takes a server's boot volume out of the list.
func (o *observation) claimVolumes(s *stack.Server, volumes []*block.Volume, stays bool) []*block.Volume {
	var others []*block.Volume
	for _, v := range volumes {
		if v.ID != s.VolumeID {
			others = append(others, v)
			continue
		}
		s.VolumeGB = int32(v.Size / scw.GB) //nolint:gosec // at most some thousand GB
		if stays {
			o.add(newVolume(scw.Zone(s.Zone), v, s))
		}
	}
	return others
}

// attachmentsOf returns the attachment of an address, if a server has it.
func attachmentsOf(address *stack.FlexibleIP) []stack.Resource {
	if address.ServerID == "" {
		return nil
	}
	return []stack.Resource{&stack.Attachment{
		ResourceMeta: stack.ResourceMeta{ID: address.ID, Name: address.Name}, IP: address,
		Server: &stack.Server{ResourceMeta: stack.ResourceMeta{ID: address.ServerID}, Zone: address.Zone}, State: address.State,
	}}
}

// parts adds the parts of a server that stays.
func (o *observation) parts(ctx context.Context, server *stack.Server, s *instance.Server) error {
	if s.State == instance.ServerStateRunning {
		o.add(&stack.Power{ResourceMeta: stack.ResourceMeta{ID: s.ID, Name: s.Name}, Server: server})
	}
	for _, n := range s.PrivateNics {
		addAll(o, newPrivateNICs(scw.Zone(server.Zone), s, n.PrivateNetworkID))
	}
	return o.userData(ctx, server)
}
