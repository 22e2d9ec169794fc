package scwfake

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/scaleway/scaleway-sdk-go/scw"
)

// image is a public image in one zone, for one architecture and one type of
// volume. Each has the same ID in every fake.
type image struct {
	id, label, name, zone, arch string
	// volume is the type of volume that the image is for.
	volume   string
	snapshot string
}

// images returns the images of the zone. Images for SBS come last, because the
// marketplace sorts by type.
func images(zone string) []image {
	names := [][2]string{
		{"ubuntu_focal", "Ubuntu 20.04 Focal Fossa"},
		{"ubuntu_jammy", "Ubuntu 22.04 Jammy Jellyfish"},
		{"ubuntu_noble", "Ubuntu 24.04 Noble Numbat"},
		{"debian_bullseye", "Debian Bullseye"},
		{"debian_bookworm", "Debian Bookworm"},
		{"debian_trixie", "Debian Trixie"},
	}
	var all []image
	for _, volume := range []string{localVolume, sbsVolume} {
		for _, name := range names {
			for _, arch := range []string{"arm64", "x86_64"} {
				id := fixedID(fmt.Sprint("image ", zone, name[0], arch, volume))
				all = append(all, image{
					id: id, label: name[0], name: name[1], zone: zone, arch: arch, volume: volume, snapshot: fixedID("snapshot " + id),
				})
			}
		}
	}
	return all
}

func findImage(zone, id string) (image, bool) {
	all := images(zone)
	i := slices.IndexFunc(all, func(i image) bool { return i.id == id })
	if i < 0 {
		return image{}, false
	}
	return all[i], true
}

// viewImage returns the image in the wire form of a server.
func (a *API) viewImage(i image) object {
	const scaleway = "51b656e3-4865-41e8-adbc-0c45bdd780db"
	published := instanceStamp(time.Date(2026, 5, 12, 15, 20, 10, 934226000, time.UTC))
	return object{
		"id": i.id, "name": i.name, "organization": scaleway, "project": scaleway,
		"root_volume":   object{"volume_type": "sbs_snapshot", "id": i.snapshot, "size": 0, "name": ""},
		"extra_volumes": object{}, "public": true, "arch": i.arch, "creation_date": published, "modification_date": published,
		"default_bootscript": nil, "from_server": "", "state": "available", "tags": []string{}, "zone": i.zone,
	}
}

func (a *API) marketplaceRoutes() []route {
	const collection = "/marketplace/v2/local-images"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listLocalImages},
		{method: http.MethodGet, pattern: collection + "/{id}", handle: a.getLocalImage},
	}
}

func (i image) view() object {
	kind := map[string]string{localVolume: "instance_local", sbsVolume: "instance_sbs"}[i.volume]
	compatible := []string{}
	for _, t := range catalogue() {
		if t.arch == i.arch && (i.volume == sbsVolume || t.localGB > 0) {
			compatible = append(compatible, t.name)
		}
	}
	return object{
		"id": i.id, "arch": i.arch, "zone": i.zone, "label": i.label, "type": kind, "compatible_commercial_types": compatible,
	}
}

// listLocalImages answers an empty list for an unknown label. The SDK then returns
// the error that it could not find the image.
func (a *API) listLocalImages(c *call) (any, error) {
	zones := scw.AllZones
	if zone := c.query.Get("zone"); zone != "" {
		zones = []scw.Zone{scw.Zone(zone)}
		if !zones[0].Exists() {
			return nil, invalidArgument("zone", "constraint", "unknown zone "+zone)
		}
	}
	found := []object{}
	for _, zone := range zones {
		for _, i := range images(string(zone)) {
			view := i.view()
			kind := cmp.Or(c.query.Get("type"), "unknown_type")
			if is(c.query, "image_label", i.label) && is(c.query, "arch", i.arch) && (kind == "unknown_type" || kind == view["type"]) {
				found = append(found, view)
			}
		}
	}
	part, _, _ := page(c.query, found, "page_size", defaultPageSize)
	return object{"local_images": part, "total_count": len(found)}, nil
}

func (a *API) getLocalImage(c *call) (any, error) {
	for _, zone := range scw.AllZones {
		if i, ok := findImage(string(zone), c.values["id"]); ok {
			return i.view(), nil
		}
	}
	return nil, notFound("local_image", c.values["id"])
}
