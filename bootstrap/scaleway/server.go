package scaleway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/api/block/v1"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	nic "github.com/scaleway/scaleway-sdk-go/api/instance/v2alpha1"
	"github.com/scaleway/scaleway-sdk-go/api/marketplace/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// createServer makes the server and leaves it off: a NIC is attached at once to
// a server that is off, and takes a minute on one that runs.
func (c *Cloud) createServer(ctx context.Context, r *stack.Server) error {
	made, err := ensure(ctx, c, maker[*stack.Server]{
		find: c.findServers,
		create: func(ctx context.Context) (*stack.Server, error) {
			image, err := c.image(ctx, r.Image, r.Type)
			if err != nil {
				return nil, err
			}
			response, err := c.instance.CreateServer(&instance.CreateServerRequest{
				Zone: c.zone, Project: &c.project, Name: r.Name, Tags: append(c.tags(""), stack.ImageTag(r.Image)),
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
		remove: func(ctx context.Context, s *stack.Server) error { return c.deleteServer(ctx, s, silent) },
	})
	return adopt(r, made, err)
}

// size is a volume's, in the API's form.
func size(gigabytes int32) *scw.Size {
	return new(scw.Size(gigabytes) * scw.GB) //nolint:gosec // validated: not negative
}

// image resolves a label for a type of server, or for any if that is empty.
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
		return "", fmt.Errorf("proxy.image: there is no image %s in %s", label, c.zone)
	}
	return "", fmt.Errorf("proxy.image: there is no image %s for a %s in %s", label, commercialType, c.zone)
}

func (c *Cloud) findServers(ctx context.Context) ([]*stack.Server, error) {
	servers, err := c.listServers(ctx)
	if err != nil {
		return nil, err
	}
	found := make([]*stack.Server, 0, len(servers))
	for _, s := range servers {
		found = append(found, newServer(s))
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
		ResourceMeta: stack.ResourceMeta{ID: s.ID, Name: s.Name, CreatedAt: when(s.CreationDate), Deleting: slices.Contains(s.Tags, stack.TagDeleting)},
		Type:         s.CommercialType, Image: stack.Image(s.Tags),
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

func (c *Cloud) updateServer(ctx context.Context, r *stack.Server) error {
	_, err := c.instance.UpdateServer(&instance.UpdateServerRequest{
		Zone: c.zone, ServerID: r.ID, Name: &r.Name, SecurityGroup: &instance.SecurityGroupTemplate{ID: r.SecurityGroup.ID},
	}, scw.WithContext(ctx))
	return err
}

// claimVolume waits until the boot volume is there and attached, and marks it
// as the set-up's, so that it is found should the server be gone one day.
func (c *Cloud) claimVolume(ctx context.Context, r *stack.Volume, report func(string)) error {
	volume, err := await(ctx, c, report, func(ctx context.Context) (*block.Volume, string, error) {
		v, err := c.block.GetVolume(&block.GetVolumeRequest{Zone: c.zone, VolumeID: r.Server.VolumeID}, scw.WithContext(ctx))
		if err != nil {
			return nil, "", err
		}
		status := v.Status.String()
		for _, reference := range v.References {
			if reference.Status != block.ReferenceStatusAttached {
				status = reference.Status.String()
			}
		}
		return v, status, nil
	}, []string{"in_use"}, []string{"error", "locked", "deleting", "deleted"})
	if err != nil {
		return err
	}
	r.ID, r.CreatedAt = volume.ID, when(volume.CreatedAt)
	return c.tagVolume(ctx, volume.ID, r.Name)
}

func (c *Cloud) tagVolume(ctx context.Context, id, name string) error {
	_, err := c.block.UpdateVolume(&block.UpdateVolumeRequest{Zone: c.zone, VolumeID: id, Name: &name, Tags: new(c.tags(""))}, scw.WithContext(ctx))
	return explain(err, stack.KindVolume)
}

func (c *Cloud) createPrivateNIC(ctx context.Context, r *stack.PrivateNIC, report func(string)) error {
	made, err := ensure(ctx, c, maker[*stack.PrivateNIC]{
		find: func(ctx context.Context) ([]*stack.PrivateNIC, error) {
			s, err := c.getServer(ctx, r.Server.ID)
			if err != nil {
				return nil, err
			}
			return newPrivateNICs(s, r.Network.ID), nil
		},
		create: func(ctx context.Context) (*stack.PrivateNIC, error) {
			n, err := c.nic.CreatePrivateNetworkInterface(&nic.CreatePrivateNetworkInterfaceRequest{
				Zone: c.zone, ProjectID: c.project, ServerID: &r.Server.ID, PrivateNetworkID: r.Network.ID,
				IPIDs: []string{r.PrivateIP.ID}, Tags: c.tags(""),
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return &stack.PrivateNIC{ResourceMeta: stack.ResourceMeta{ID: n.ID, Name: r.Name, CreatedAt: when(n.CreatedAt)}}, nil
		},
		remove: func(ctx context.Context, n *stack.PrivateNIC) error { return c.deletePrivateNIC(ctx, n.ID, silent) },
	})
	if err != nil {
		return err
	}
	r.CopyObserved(made)
	_, err = await(ctx, c, report, func(ctx context.Context) (struct{}, string, error) {
		n, err := c.nic.GetPrivateNetworkInterface(&nic.GetPrivateNetworkInterfaceRequest{Zone: c.zone, PrivateNetworkInterfaceID: r.ID}, scw.WithContext(ctx))
		if err != nil {
			return struct{}{}, "", err
		}
		return struct{}{}, n.Status.String(), nil
	}, []string{"available"}, []string{"detach_error", "delete_error", "deleting", "detaching"})
	return err
}

// newPrivateNICs are the server's NICs in one network.
func newPrivateNICs(s *instance.Server, network string) []*stack.PrivateNIC {
	var found []*stack.PrivateNIC
	for _, n := range s.PrivateNics {
		if n.PrivateNetworkID != network {
			continue
		}
		found = append(found, &stack.PrivateNIC{
			ResourceMeta: stack.ResourceMeta{ID: n.ID, Name: s.Name, CreatedAt: when(n.CreationDate)},
			Server:       &stack.Server{ResourceMeta: stack.ResourceMeta{ID: s.ID}},
			Network:      &stack.PrivateNetwork{ResourceMeta: stack.ResourceMeta{ID: n.PrivateNetworkID}},
			PrivateIP:    &stack.PrivateIP{ResourceMeta: stack.ResourceMeta{ID: strings.Join(n.IpamIPIDs, ",")}},
		})
	}
	return found
}

func (c *Cloud) deletePrivateNIC(ctx context.Context, id string, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		return c.nic.DeletePrivateNetworkInterface(&nic.DeletePrivateNetworkInterfaceRequest{Zone: c.zone, PrivateNetworkInterfaceID: id}, scw.WithContext(ctx))
	})
	if err != nil {
		return err
	}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		n, err := c.nic.GetPrivateNetworkInterface(&nic.GetPrivateNetworkInterfaceRequest{Zone: c.zone, PrivateNetworkInterfaceID: id}, scw.WithContext(ctx))
		if err != nil {
			return "", err
		}
		return n.Status.String(), nil
	}, "detach_error", "delete_error")
}

func (c *Cloud) setUserData(ctx context.Context, r *stack.UserData) error {
	value, err := r.Render()
	if err != nil {
		return err
	}
	r.ID = r.Server.ID
	return c.instance.SetServerUserData(&instance.SetServerUserDataRequest{
		Zone: c.zone, ServerID: r.Server.ID, Key: r.DataKey, Content: bytes.NewReader(value),
	}, scw.WithContext(ctx))
}

// userData reads a value of a server; nil if there is none.
func (c *Cloud) userData(ctx context.Context, server, key string) ([]byte, error) {
	content, err := c.instance.GetServerUserData(&instance.GetServerUserDataRequest{Zone: c.zone, ServerID: server, Key: key}, scw.WithContext(ctx))
	switch {
	case isNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return io.ReadAll(content)
}

// powerOn starts the server.
func (c *Cloud) powerOn(ctx context.Context, r *stack.Power, report func(string)) error {
	r.ID = r.Server.ID
	request := actionRequest{cloud: c, server: r.Server.ID, action: instance.ServerActionPoweron}
	_, err := await(ctx, c, report, func(ctx context.Context) (struct{}, string, error) {
		s, err := c.getServer(ctx, r.Server.ID)
		if err != nil {
			return struct{}{}, "", err
		}
		return struct{}{}, s.State.String(), request.send(ctx, s)
	}, []string{"running"}, []string{"locked"})
	return err
}

// actionRequest asks a server for an action, once. An action is a POST that a
// server in another state refuses, so that it is sent only as long as the
// server allows it; and what is doubtful or refused is sent again only if the
// server, looked at again, still allows it: another run may have been faster.
type actionRequest struct {
	cloud  *Cloud
	server string
	action instance.ServerAction

	asked bool
	refusals
}

func (a *actionRequest) send(ctx context.Context, s *instance.Server) error {
	if a.asked || !slices.Contains(s.AllowedActions, a.action) {
		return nil
	}
	_, err := a.cloud.instance.ServerAction(&instance.ServerActionRequest{Zone: a.cloud.zone, ServerID: a.server, Action: a.action}, scw.WithContext(ctx))
	if err == nil {
		a.asked = true
		return nil
	}
	return a.count(ctx, err)
}

// refusals are how often a server refused what the state that it was seen in
// allows. Its state may have changed in between, by another run's doing, so
// that one looks again.
type refusals int

// count counts an error, and returns it when there have been enough of them, or
// the context ends.
func (r *refusals) count(ctx context.Context, err error) error {
	const enough = 3
	if err == nil {
		return nil
	}
	*r++
	if ctx.Err() != nil || *r == enough {
		return err
	}
	return nil
}

// deleteServer removes a server with its boot volume, which the API leaves
// behind. Both are marked first: the server as one that does not come back, the
// volume as ours, so that the next run can finish what is interrupted here.
func (c *Cloud) deleteServer(ctx context.Context, r *stack.Server, report func(string)) error {
	volume := r.VolumeID
	s, err := c.getServer(ctx, r.ID)
	switch {
	case isNotFound(err): // only its volume may be left
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
	return c.deleteVolume(ctx, volume, report)
}

// terminate marks a server and its boot volume, and removes the server.
func (c *Cloud) terminate(ctx context.Context, s *instance.Server, volume string, report func(string)) error {
	if err := c.markLeaving(ctx, s); err != nil {
		return err
	}
	if volume != "" {
		if err := c.tagVolume(ctx, volume, s.Name); err != nil && !isNotFound(err) {
			return err
		}
	}
	request := actionRequest{cloud: c, server: s.ID, action: instance.ServerActionTerminate}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		current, err := c.getServer(ctx, s.ID)
		if err != nil {
			return "", err
		}
		if current.State == instance.ServerStateStopped { // then it can only be deleted
			err = c.instance.DeleteServer(&instance.DeleteServerRequest{Zone: c.zone, ServerID: s.ID}, scw.WithContext(ctx))
			err = request.count(ctx, err)
		} else {
			err = request.send(ctx, current)
		}
		return current.State.String(), err
	}, "locked")
}

func (c *Cloud) markLeaving(ctx context.Context, s *instance.Server) error {
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

func (c *Cloud) deleteVolume(ctx context.Context, id string, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		return c.block.DeleteVolume(&block.DeleteVolumeRequest{Zone: c.zone, VolumeID: id}, scw.WithContext(ctx))
	})
	return explain(err, stack.KindVolume) // also when it goes with its server
}

// findVolumes returns the volumes that are marked as the set-up's.
func (c *Cloud) findVolumes(ctx context.Context) ([]*block.Volume, error) {
	list, err := c.block.ListVolumes(&block.ListVolumesRequest{Zone: c.zone, ProjectID: &c.project, Tags: c.tags("")},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Volumes, func(v *block.Volume) bool {
		return !c.owns(v.ProjectID, v.Tags) || v.Status == block.VolumeStatusDeleting || v.Status == block.VolumeStatusDeleted
	}), nil
}
