package scaleway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/api/marketplace/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func serverRow() operations {
	return row[*stack.Server]{
		kind: stack.KindServer, permission: permissionInstances, observe: (*observation).zones,
		create: (*Cloud).createServer, update: (*Cloud).updateServer, delete: (*Cloud).deleteServer, check: (*planCheck).server,
	}.untyped()
}

// createServer creates a server and leaves it stopped: a NIC is attached at once
// to a stopped server, and takes a minute on a running one.
func (c *Cloud) createServer(ctx context.Context, r *stack.Server, _ func(string)) error {
	zone := scw.Zone(r.Zone)
	created, err := ensure(ctx, c, maker[*stack.Server]{
		find: func(ctx context.Context) ([]*stack.Server, error) { return c.findServers(ctx, zone, r.Role) },
		create: func(ctx context.Context) (*stack.Server, error) {
			image, err := c.image(ctx, zone, r.Image, r.Type)
			if err != nil {
				return nil, err
			}
			response, err := c.instance.CreateServer(&instance.CreateServerRequest{
				Zone: zone, Project: &c.project, Name: r.Name, Tags: append(c.tags(r.Role), stack.ImageTag(r.Image)),
				CommercialType: r.Type, Image: &image, SecurityGroup: &r.SecurityGroup.ID,
				DynamicIPRequired: new(false), BootType: new(instance.BootTypeLocal),
				Volumes: map[string]*instance.VolumeServerTemplate{"0": {
					Boot: new(true), VolumeType: instance.VolumeVolumeTypeSbsVolume, Size: size(r.VolumeGB),
				}},
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newServer(zone, response.Server), nil
		},
		remove: c.deleteServer,
	})
	return copyCreated(r, created, err)
}

// image returns the ID of the image with a label for a type of server, or for any
// type if that is empty.
func (c *Cloud) image(ctx context.Context, zone scw.Zone, label, commercialType string) (string, error) {
	list, err := c.marketplace.ListLocalImages(&marketplace.ListLocalImagesRequest{
		ImageLabel: &label, Zone: &zone, Type: marketplace.LocalImageTypeInstanceSbs,
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
		return "", fmt.Errorf("spec.proxy.image: there is no image %s in %s", label, zone)
	}
	return "", fmt.Errorf("spec.proxy.image: there is no image %s for a %s in %s", label, commercialType, zone)
}

// findServers returns the stack's servers in a zone with a role.
func (c *Cloud) findServers(ctx context.Context, zone scw.Zone, role string) ([]*stack.Server, error) {
	servers, err := c.listServers(ctx, zone)
	if err != nil {
		return nil, err
	}
	var found []*stack.Server
	for _, s := range servers {
		if server := newServer(zone, s); server.Role == role {
			found = append(found, server)
		}
	}
	return found, nil
}

func (c *Cloud) listServers(ctx context.Context, zone scw.Zone) ([]*instance.Server, error) {
	list, err := c.instance.ListServers(&instance.ListServersRequest{Zone: zone, Project: &c.project, Tags: c.tags("")},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Servers, func(s *instance.Server) bool {
		return !c.owns(s.Project, s.Tags)
	}), nil
}

func (c *Cloud) getServer(ctx context.Context, zone scw.Zone, id string) (*instance.Server, error) {
	response, err := c.instance.GetServer(&instance.GetServerRequest{Zone: zone, ServerID: id}, scw.WithContext(ctx))
	switch {
	case err != nil:
		return nil, err
	case response.Server == nil:
		return nil, errIncomplete
	}
	return response.Server, nil
}

func newServer(zone scw.Zone, s *instance.Server) *stack.Server {
	if s == nil {
		return &stack.Server{}
	}
	server := &stack.Server{
		ResourceMeta: stack.ResourceMeta{ID: s.ID, Name: s.Name, CreatedAt: timeOf(s.CreationDate), Deleting: slices.Contains(s.Tags, stack.TagDeleting)},
		Role:         stack.Role(s.Tags), Zone: string(zone), Type: s.CommercialType, Image: stack.Image(s.Tags),
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
		Zone: scw.Zone(r.Zone), ServerID: r.ID, Name: &r.Name, SecurityGroup: &instance.SecurityGroupTemplate{ID: r.SecurityGroup.ID},
	}, scw.WithContext(ctx))
	return err
}

// deleteServer deletes a server with its boot volume, which the API does not
// delete. It tags both first: the server as one that will not come back, the
// volume as the stack's. So the next run can finish an interrupted deletion.
func (c *Cloud) deleteServer(ctx context.Context, r *stack.Server, report func(string)) error {
	volume := r.VolumeID
	zone := scw.Zone(r.Zone)
	s, err := c.getServer(ctx, zone, r.ID)
	switch {
	case isNotFound(err): // its volume may still exist
	case err != nil:
		return err
	default:
		volume = newServer(zone, s).VolumeID
		if err := c.terminate(ctx, zone, s, volume, report); err != nil {
			return err
		}
	}
	if volume == "" {
		return nil
	}
	return c.deleteVolume(ctx, &stack.Volume{ResourceMeta: stack.ResourceMeta{ID: volume}, Zone: r.Zone}, report)
}

// terminate tags a server and its boot volume, and deletes the server.
func (c *Cloud) terminate(ctx context.Context, zone scw.Zone, s *instance.Server, volume string, report func(string)) error {
	if err := c.markDeleting(ctx, zone, s); err != nil {
		return err
	}
	if volume != "" {
		if err := c.tagVolume(ctx, zone, volume, s.Name, stack.Role(s.Tags)); err != nil && !isNotFound(err) {
			return err
		}
	}
	request := actionRequest{cloud: c, zone: zone, server: s.ID, action: instance.ServerActionTerminate}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		current, err := c.getServer(ctx, zone, s.ID)
		if err != nil {
			return "", err
		}
		if current.State == instance.ServerStateStopped { // a stopped server cannot be terminated, only deleted
			err = c.instance.DeleteServer(&instance.DeleteServerRequest{Zone: zone, ServerID: s.ID}, scw.WithContext(ctx))
			err = request.count(ctx, err)
		} else {
			err = request.send(ctx, current)
		}
		return current.State.String(), err
	}, "locked")
}

func (c *Cloud) markDeleting(ctx context.Context, zone scw.Zone, s *instance.Server) error {
	if slices.Contains(s.Tags, stack.TagDeleting) {
		return nil
	}
	tags := append(slices.Clone(s.Tags), stack.TagDeleting)
	_, err := c.instance.UpdateServer(&instance.UpdateServerRequest{Zone: zone, ServerID: s.ID, Tags: &tags}, scw.WithContext(ctx))
	if isNotFound(err) {
		return nil
	}
	return err
}

// server checks that the server's type exists, and that there is an image for it,
// or at least an image if the type does not exist.
func (p *planCheck) server(ctx context.Context, server *stack.Server) error {
	c, zone := p.cloud, scw.Zone(server.Zone)
	types, err := p.serverTypes(ctx, zone)
	if err != nil {
		return err
	}
	if types[server.Type] == nil {
		_, err := c.image(ctx, zone, server.Image, "")
		return errors.Join(
			fmt.Errorf("spec.proxy.type: there is no %s in %s; there are %s", server.Type, zone, strings.Join(similar(types, server.Type), ", ")), err)
	}
	_, err = c.image(ctx, zone, server.Image, server.Type)
	return err
}
