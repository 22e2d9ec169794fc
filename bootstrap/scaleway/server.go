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
	"github.com/scaleway/scaleway-sdk-go/api/marketplace/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func serverRow() operations {
	return row[*stack.Server]{
		kind: stack.KindServer, permission: permissionInstances, observe: (*observation).servers,
		create: (*Cloud).createServer, update: (*Cloud).updateServer, delete: (*Cloud).deleteServer, check: (*planCheck).server,
	}.untyped()
}

// servers adds the servers with their parts, the flexible addresses, and volumes
// that have lost their server.
func (o *observation) servers(ctx context.Context) error {
	var servers []*instance.Server
	var volumes []*block.Volume
	var addresses []*stack.FlexibleIP
	var group sync.WaitGroup
	var serversErr, volumesErr, addressesErr error
	group.Go(func() { servers, serversErr = o.cloud.listServers(ctx) })
	group.Go(func() { volumes, volumesErr = o.cloud.findVolumes(ctx) })
	group.Go(func() { addresses, addressesErr = o.cloud.findFlexibleIPs(ctx) })
	group.Wait()
	// Once the credentials are rejected, the other requests are cancelled. Their
	// errors add nothing.
	all := []error{serversErr, addressesErr, volumesErr}
	if i := slices.IndexFunc(all, isDenied); i >= 0 {
		return all[i]
	}
	// Servers and addresses belong to one product, and fail for the same reasons.
	if err := errors.Join(explain(cmp.Or(serversErr, addressesErr), stack.KindServer), explain(volumesErr, stack.KindVolume)); err != nil {
		return err
	}
	addAll(o, addresses)
	for _, address := range addresses {
		o.add(attachmentsOf(address)...)
	}

	staying := map[string]*stack.Server{} // by role: the oldest one
	byID := map[string]*instance.Server{}
	found := make([]*stack.Server, 0, len(servers))
	for _, s := range servers {
		found = append(found, newServer(s))
		byID[s.ID] = s
	}
	stack.SortByAge(found)
	for _, s := range found {
		if !s.Deleting && staying[s.Role] == nil {
			staying[s.Role] = s
		}
	}
	for _, s := range found {
		s.VolumeGB = o.spec.Proxy.VolumeGB // unless its volume has another size
		volumes = o.claimVolumes(s, volumes, s == staying[s.Role])
	}
	for _, v := range volumes {
		o.add(newVolume(v, nil))
	}
	addAll(o, found)
	for _, s := range staying {
		if err := o.parts(ctx, s, byID[s.ID]); err != nil {
			return err
		}
	}
	return nil
}

// attachmentsOf returns the attachment of an address, if a server has it.
func attachmentsOf(address *stack.FlexibleIP) []stack.Resource {
	if address.ServerID == "" {
		return nil
	}
	return []stack.Resource{&stack.Attachment{
		ResourceMeta: stack.ResourceMeta{ID: address.ID, Name: address.Name}, IP: address,
		Server: &stack.Server{ResourceMeta: stack.ResourceMeta{ID: address.ServerID}}, State: address.State,
	}}
}

// claimVolumes takes a server's boot volume out of the list. Only the server that
// stays has the volume as a part. The volumes of the other servers go away with
// them.
func (o *observation) claimVolumes(s *stack.Server, volumes []*block.Volume, stays bool) []*block.Volume {
	var others []*block.Volume
	for _, v := range volumes {
		if v.ID != s.VolumeID {
			others = append(others, v)
			continue
		}
		s.VolumeGB = int32(v.Size / scw.GB) //nolint:gosec // at most some thousand GB
		if stays {
			o.add(newVolume(v, s))
		}
	}
	return others
}

// parts adds the parts of a server that stays.
func (o *observation) parts(ctx context.Context, server *stack.Server, s *instance.Server) error {
	if s.State == instance.ServerStateRunning {
		o.add(&stack.Power{ResourceMeta: stack.ResourceMeta{ID: s.ID, Name: s.Name}, Server: server})
	}
	for _, n := range s.PrivateNics {
		addAll(o, newPrivateNICs(s, n.PrivateNetworkID))
	}
	return o.userData(ctx, server)
}

// createServer creates a server and leaves it stopped: a NIC is attached at once
// to a stopped server, and takes a minute on a running one.
func (c *Cloud) createServer(ctx context.Context, r *stack.Server, _ func(string)) error {
	created, err := ensure(ctx, c, maker[*stack.Server]{
		find: func(ctx context.Context) ([]*stack.Server, error) { return c.findServers(ctx, r.Role) },
		create: func(ctx context.Context) (*stack.Server, error) {
			image, err := c.image(ctx, r.Image, r.Type)
			if err != nil {
				return nil, err
			}
			response, err := c.instance.CreateServer(&instance.CreateServerRequest{
				Zone: c.zone, Project: &c.project, Name: r.Name, Tags: append(c.tags(r.Role), stack.ImageTag(r.Image)),
				CommercialType: r.Type, Image: &image, SecurityGroup: &r.SecurityGroup.ID,
				DynamicIPRequired: new(false), BootType: new(instance.BootTypeLocal),
				Volumes: map[string]*instance.VolumeServerTemplate{"0": {
					Boot: new(true), VolumeType: instance.VolumeVolumeTypeSbsVolume, Size: size(r.VolumeGB),
				}},
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newServer(response.Server), nil
		},
		remove: c.deleteServer,
	})
	return copyCreated(r, created, err)
}

// image returns the ID of the image with a label for a type of server, or for any
// type if that is empty.
func (c *Cloud) image(ctx context.Context, label, commercialType string) (string, error) {
	list, err := c.marketplace.ListLocalImages(&marketplace.ListLocalImagesRequest{
		ImageLabel: &label, Zone: &c.zone, Type: marketplace.LocalImageTypeInstanceSbs,
	}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil && !isNotFound(err) {
		return "", err
	}
	if err == nil {
		for _, image := range list.LocalImages {
			if commercialType == "" || slices.Contains(image.CompatibleCommercialTypes, commercialType) {
				return image.ID, nil
			}
		}
	}
	if commercialType == "" {
		return "", fmt.Errorf("spec.proxy.image: there is no image %s in %s", label, c.zone)
	}
	return "", fmt.Errorf("spec.proxy.image: there is no image %s for a %s in %s", label, commercialType, c.zone)
}

// findServers returns the stack's servers with a role.
func (c *Cloud) findServers(ctx context.Context, role string) ([]*stack.Server, error) {
	servers, err := c.listServers(ctx)
	if err != nil {
		return nil, err
	}
	var found []*stack.Server
	for _, s := range servers {
		if server := newServer(s); server.Role == role {
			found = append(found, server)
		}
	}
	return found, nil
}

func (c *Cloud) listServers(ctx context.Context) ([]*instance.Server, error) {
	list, err := c.instance.ListServers(&instance.ListServersRequest{Zone: c.zone, Project: &c.project, Tags: c.tags("")},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Servers, func(s *instance.Server) bool {
		return !c.owns(s.Project, s.Tags)
	}), nil
}

func (c *Cloud) getServer(ctx context.Context, id string) (*instance.Server, error) {
	response, err := c.instance.GetServer(&instance.GetServerRequest{Zone: c.zone, ServerID: id}, scw.WithContext(ctx))
	switch {
	case err != nil:
		return nil, err
	case response.Server == nil:
		return nil, errIncomplete
	}
	return response.Server, nil
}

func newServer(s *instance.Server) *stack.Server {
	if s == nil {
		return &stack.Server{}
	}
	server := &stack.Server{
		ResourceMeta: stack.ResourceMeta{ID: s.ID, Name: s.Name, CreatedAt: timeOf(s.CreationDate), Deleting: slices.Contains(s.Tags, stack.TagDeleting)},
		Role:         stack.Role(s.Tags), Type: s.CommercialType, Image: stack.Image(s.Tags),
		SecurityGroup: &stack.SecurityGroup{},
		Running:       s.State != instance.ServerStateStopped,
	}
	if s.SecurityGroup != nil {
		server.SecurityGroup.ID = s.SecurityGroup.ID
	}
	if volume := s.Volumes["0"]; volume != nil {
		server.VolumeID = volume.ID
	}
	return server
}

func (c *Cloud) updateServer(ctx context.Context, r *stack.Server, _ []stack.Change, _ func(string)) error {
	_, err := c.instance.UpdateServer(&instance.UpdateServerRequest{
		Zone: c.zone, ServerID: r.ID, Name: &r.Name, SecurityGroup: &instance.SecurityGroupTemplate{ID: r.SecurityGroup.ID},
	}, scw.WithContext(ctx))
	return err
}

// deleteServer deletes a server with its boot volume, which the API does not
// delete. It tags both first: the server as one that will not come back, the
// volume as the stack's. So the next run can finish an interrupted deletion.
func (c *Cloud) deleteServer(ctx context.Context, r *stack.Server, report func(string)) error {
	volume := r.VolumeID
	s, err := c.getServer(ctx, r.ID)
	switch {
	case isNotFound(err): // its volume may still exist
	case err != nil:
		return err
	default:
		volume = newServer(s).VolumeID
		if err := c.terminate(ctx, s, volume, report); err != nil {
			return err
		}
	}
	if volume == "" {
		return nil
	}
	return c.deleteVolume(ctx, &stack.Volume{ResourceMeta: stack.ResourceMeta{ID: volume}}, report)
}

// terminate tags a server and its boot volume, and deletes the server.
func (c *Cloud) terminate(ctx context.Context, s *instance.Server, volume string, report func(string)) error {
	if err := c.markDeleting(ctx, s); err != nil {
		return err
	}
	if volume != "" {
		if err := c.tagVolume(ctx, volume, s.Name, stack.Role(s.Tags)); err != nil && !isNotFound(err) {
			return err
		}
	}
	request := actionRequest{cloud: c, server: s.ID, action: instance.ServerActionTerminate}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		current, err := c.getServer(ctx, s.ID)
		if err != nil {
			return "", err
		}
		if current.State == instance.ServerStateStopped { // a stopped server cannot be terminated, only deleted
			err = c.instance.DeleteServer(&instance.DeleteServerRequest{Zone: c.zone, ServerID: s.ID}, scw.WithContext(ctx))
			err = request.count(ctx, err)
		} else {
			err = request.send(ctx, current)
		}
		return current.State.String(), err
	}, "locked")
}

func (c *Cloud) markDeleting(ctx context.Context, s *instance.Server) error {
	if slices.Contains(s.Tags, stack.TagDeleting) {
		return nil
	}
	tags := append(slices.Clone(s.Tags), stack.TagDeleting)
	_, err := c.instance.UpdateServer(&instance.UpdateServerRequest{Zone: c.zone, ServerID: s.ID, Tags: &tags}, scw.WithContext(ctx))
	if isNotFound(err) {
		return nil
	}
	return err
}

// server checks that the server's type exists, and that there is an image for it,
// or at least an image if the type does not exist.
func (p *planCheck) server(ctx context.Context, server *stack.Server) error {
	c := p.cloud
	types, err := p.serverTypes(ctx, c.zone)
	if err != nil {
		return err
	}
	if types[server.Type] == nil {
		_, err := c.image(ctx, server.Image, "")
		return errors.Join(
			fmt.Errorf("spec.proxy.type: there is no %s in %s; there are %s", server.Type, c.zone, strings.Join(similar(types, server.Type), ", ")), err)
	}
	_, err = c.image(ctx, server.Image, server.Type)
	return err
}
