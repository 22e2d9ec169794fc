package scwfake

import (
	"net/http"
	"time"
)

// volume is an SBS volume of the Block Storage API.
type volume struct {
	base
	size     uint64
	snapshot string
	server   string
	// reference is the state of the attachment.
	referenceID, reference string
	detached               time.Time
}

const defaultVolumeSize = 10_000_000_000

// The states of a volume's reference to its server.
const (
	referenceAttaching = "attaching"
	referenceAttached  = "attached"
)

func (a *API) volumeRoutes() []route {
	const collection, item = "/block/v1/zones/{zone}/volumes", "/block/v1/zones/{zone}/volumes/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listVolumes},
		{method: http.MethodGet, pattern: item, handle: a.getVolume},
		{method: http.MethodPatch, pattern: item, handle: a.updateVolume},
		{method: http.MethodDelete, pattern: item, handle: a.deleteVolume, status: http.StatusNoContent},
	}
}

func (a *API) viewVolume(v *volume) object {
	view := a.common(&v.base)
	delete(view, "organization_id")
	view["zone"] = v.place
	view["type"] = "sbs_5k"
	view["size"] = v.size
	view["specs"] = object{"perf_iops": 5000, "class": "sbs"}
	view["kms_key_id"] = nil
	view["parent_snapshot_id"] = orNull(v.snapshot)
	view["status"] = "available"
	view["references"] = []object{}
	if v.server != "" {
		view["status"] = "in_use"
		view["references"] = []object{{
			"id": v.referenceID, "product_resource_type": "instance_server", "product_resource_id": v.server,
			"created_at": stamp(v.created), "type": "exclusive", "status": v.reference,
		}}
	}
	view["last_detached_at"] = nil
	if !v.detached.IsZero() {
		view["last_detached_at"] = stamp(v.detached)
	}
	return view
}

func (a *API) attachVolume(v *volume, s *server) {
	v.server, v.referenceID, v.reference = s.id, newID(), referenceAttaching
	a.schedule(v, hold(), step{do: func() {
		v.reference, v.updated = referenceAttached, a.now()
	}})
}

func (a *API) detachVolume(v *volume) {
	v.server, v.detached = "", a.now()
	v.updated = v.detached
	a.schedule(v)
}

func (a *API) listVolumes(c *call) (any, error) {
	return list(c, &a.volumes, "volumes", func(v *volume) bool {
		return matches(c.query, &v.base) && hasAnyTag(c.query, &v.base) &&
			is(c.query, "product_resource_id", v.server) && is(c.query, "volume_ids", v.id) && is(c.query, "volume_type", "sbs_5k")
	}, a.viewVolume), nil
}

func (a *API) getVolume(c *call) (any, error) {
	v, err := get(c, &a.volumes, "id")
	if err != nil {
		return nil, err
	}
	return a.viewVolume(v), nil
}

func (a *API) updateVolume(c *call) (any, error) {
	v, err := a.volumes.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	in := struct {
		Size uint64 `json:"size"`
	}{v.size}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Size < v.size {
		return nil, invalidArgument("size", "constraint", "a volume cannot shrink")
	}
	v.size = in.Size
	if err := c.rename(&v.base); err != nil {
		return nil, err
	}
	return a.viewVolume(v), nil
}

func (a *API) deleteVolume(c *call) (any, error) {
	v, err := a.volumes.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	if v.server != "" {
		if s, err := a.servers.find(v.place, v.server); err == nil {
			observe(a, s)
		}
		return nil, stillInUse("volume must be detached to be deleted")
	}
	a.volumes.remove(v)
	return nil, nil
}
