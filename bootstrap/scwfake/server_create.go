package scwfake

import (
	"cmp"
	"fmt"
	"maps"
)

// The types of volumes.
const (
	sbsVolume   = "sbs_volume"
	localVolume = "l_ssd"
)

// createServerRequest contains the fields of the body of POST servers that the fake
// uses.
type createServerRequest struct {
	Name      string                   `json:"name"`
	Kind      string                   `json:"commercial_type"`
	Image     string                   `json:"image"`
	Volumes   map[string]driveTemplate `json:"volumes"`
	DynamicIP bool                     `json:"dynamic_ip_required"`
	PublicIPs []string                 `json:"public_ips"`
	Project   string                   `json:"project"`
	Tags      []string                 `json:"tags"`
	Group     string                   `json:"security_group"`
	Protected bool                     `json:"protected"`
}

type driveTemplate struct {
	ID   string `json:"id"`
	Boot bool   `json:"boot"`
	Name string `json:"name"`
	Size uint64 `json:"size"`
	Kind string `json:"volume_type"`
}

func (a *API) createServer(c *call) (any, error) {
	var in createServerRequest
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	kind, ok := findType(in.Kind)
	if !ok {
		return nil, invalidRequest("commercial_type", fmt.Sprintf("%q is not a valid server type", in.Kind))
	}
	picture, ok := findImage(c.place(), in.Image)
	if !ok {
		return nil, invalidRequest("image", fmt.Sprintf("image %q does not exist", in.Image))
	}
	if picture.arch != kind.arch {
		return nil, invalidRequest("image", fmt.Sprintf("an image for %s does not run on %s", picture.arch, in.Kind))
	}
	if err := in.setVolumes(kind, picture); err != nil {
		return nil, err
	}
	group, err := a.groupFor(c, in.Group, in.Project)
	if err != nil {
		return nil, err
	}
	s := &server{
		base: c.newBase(in.Name, in.Project, in.Tags, serverStopped),
		kind: in.Kind, mac: "de" + a.newMAC()[2:], image: picture, group: group.id, dynamicIP: in.DynamicIP,
		protected: in.Protected, userData: map[string][]byte{}, drives: map[string]drive{},
	}
	if err := a.checkAddresses(s, in.PublicIPs); err != nil {
		return nil, err
	}
	if err := a.addDrives(s, in.Volumes); err != nil {
		return nil, err
	}
	a.servers.add(s)
	return a.wrapServer(s), a.setAddresses(s, in.PublicIPs)
}

// setVolumes adds the values that the request omits. A volume without a type has the
// image's, as recorded. A server without volumes has a local one.
func (in *createServerRequest) setVolumes(kind serverType, picture image) error {
	volumes := maps.Clone(in.Volumes)
	if len(volumes) == 0 {
		// For types without local storage, the request must name SBS.
		volumes = map[string]driveTemplate{"0": {Boot: true, Kind: localVolume}}
	}
	root := volumes["0"]
	root.Kind = cmp.Or(root.Kind, picture.volume)
	volumes["0"] = root
	for number, template := range volumes {
		template.Kind = cmp.Or(template.Kind, sbsVolume)
		volumes[number] = template
		switch {
		case template.Kind != sbsVolume && template.Kind != localVolume:
			return invalidRequest("volumes."+number+".volume_type", fmt.Sprintf("%q is not served", template.Kind))
		case template.Kind == localVolume && kind.localGB == 0:
			return invalidRequest("volumes", in.Kind+" has no local storage: its volumes are of the type sbs_volume")
		}
	}
	if root.Kind != picture.volume {
		return invalidRequest("volumes.0.volume_type", fmt.Sprintf("the image is for %s, not %s", picture.volume, root.Kind))
	}
	in.Volumes = volumes
	return nil
}

// addDrives creates the volumes, or uses existing ones.
func (a *API) addDrives(s *server, templates map[string]driveTemplate) error {
	for _, template := range templates {
		if template.ID == "" || template.Kind != sbsVolume {
			continue
		}
		v, err := a.volumes.find(s.place, template.ID)
		if err != nil {
			return err
		}
		if v.server != "" {
			return stillInUse("volume is already attached")
		}
	}
	for _, number := range sortedKeys(templates) {
		template := templates[number]
		id := template.ID
		if id == "" {
			id = newID()
		}
		s.drives[number] = drive{id: id, kind: template.Kind, boot: template.Boot}
		if template.Kind != sbsVolume {
			continue
		}
		v, err := a.volumes.find(s.place, id)
		if err != nil {
			name := cmp.Or(template.Name, fmt.Sprintf("%s_%s_%s", s.image.name, sbsVolume, number))
			v = &volume{base: a.newBase(s.place, name, s.project, nil, ""), size: cmp.Or(template.Size, defaultVolumeSize)}
			v.id = id
			if number == "0" {
				v.snapshot = s.image.snapshot
			}
			a.volumes.add(v)
		}
		a.attachVolume(v, s)
	}
	return nil
}
