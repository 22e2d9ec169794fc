package scaleway

import (
	"context"
	"slices"

	"github.com/scaleway/scaleway-sdk-go/api/block/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func volumeRow() operations {
	return row[*stack.Volume]{
		kind: stack.KindVolume, permission: "BlockStorageFullAccess", foundWith: stack.KindServer,
		create: (*Cloud).claimVolume,
		update: func(c *Cloud, ctx context.Context, r *stack.Volume, _ []stack.Change, report func(string)) error {
			return c.claimVolume(ctx, r, report)
		},
		delete: (*Cloud).deleteVolume,
	}.untyped()
}

// claimVolume waits until the boot volume exists and is attached. It tags the
// volume as the stack's, so that the volume is found even when its server is gone.
func (c *Cloud) claimVolume(ctx context.Context, r *stack.Volume, report func(string)) error {
	volume, err := await(ctx, c, report, func(ctx context.Context) (*block.Volume, string, error) {
		v, err := c.block.GetVolume(&block.GetVolumeRequest{Zone: scw.Zone(r.Zone), VolumeID: r.Server.VolumeID}, scw.WithContext(ctx))
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
	r.ID, r.CreatedAt = volume.ID, timeOf(volume.CreatedAt)
	return c.tagVolume(ctx, scw.Zone(r.Zone), volume.ID, r.Name, r.Role)
}

func (c *Cloud) tagVolume(ctx context.Context, zone scw.Zone, id, name, role string) error {
	_, err := c.block.UpdateVolume(&block.UpdateVolumeRequest{Zone: zone, VolumeID: id, Name: &name, Tags: new(c.tags(role))}, scw.WithContext(ctx))
	return explain(err, stack.KindVolume)
}

// deleteVolume deletes a volume. It explains errors itself, because it is also
// part of the deletion of a server.
func (c *Cloud) deleteVolume(ctx context.Context, r *stack.Volume, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		return c.block.DeleteVolume(&block.DeleteVolumeRequest{Zone: scw.Zone(r.Zone), VolumeID: r.ID}, scw.WithContext(ctx))
	})
	return explain(err, stack.KindVolume)
}

// findVolumes returns the volumes in a zone that are tagged as the stack's.
func (c *Cloud) findVolumes(ctx context.Context, zone scw.Zone) ([]*block.Volume, error) {
	list, err := c.block.ListVolumes(&block.ListVolumesRequest{Zone: zone, ProjectID: &c.project, Tags: c.tags("")},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Volumes, func(v *block.Volume) bool {
		return !c.owns(v.ProjectID, v.Tags) || v.Status == block.VolumeStatusDeleting || v.Status == block.VolumeStatusDeleted
	}), nil
}

// newVolume returns a volume of a server. A volume without a server is one that
// has lost it.
func newVolume(zone scw.Zone, v *block.Volume, server *stack.Server) *stack.Volume {
	volume := &stack.Volume{
		ResourceMeta: stack.ResourceMeta{ID: v.ID, Name: v.Name, CreatedAt: timeOf(v.CreatedAt)}, Role: v.ID, Zone: string(zone), Server: server,
	}
	if server != nil {
		volume.Role = server.Role
	}
	return volume
}
