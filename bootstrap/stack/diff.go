package stack

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"egress.scw/bootstrap/config"
)

// Diff plans the steps from the existing resources to the wanted ones. It is
// pure: the same arguments give the same plan. The error contains every reason
// why the configuration is impossible for the existing resources.
func Diff(spec Spec, observed *Observed) (*Plan, error) {
	d, err := diff(spec, observed, nil)
	if err != nil {
		return nil, err
	}
	if s := d.surge(observed); s != nil {
		if d, err = diff(spec, observed, s); err != nil {
			return nil, err
		}
	}
	return d.plan, nil
}

// diff plans the steps to the wanted resources, or to those with a temporary machine.
func diff(spec Spec, observed *Observed, s *surge) (*differ, error) {
	graph, err := desired(spec, s)
	if err != nil {
		return nil, err
	}
	d := newDiffer(observed, &Plan{Graph: graph})
	if err := errors.Join(append(observed.Missing, d.checkExisting()...)...); err != nil {
		return nil, err
	}
	if graph.Network.Existing { // its range is now known
		if err := graph.renderCloudInit(); err != nil {
			return nil, err
		}
	}
	for _, wanted := range graph.resources {
		if err := d.compare(wanted); err != nil {
			return nil, err
		}
	}
	if err := d.checkPorts(observed); err != nil {
		return nil, err
	}
	d.deleteUnwanted()
	d.order()
	d.orderReplacements()
	d.orderSurge()
	if graph.surge == nil || !graph.Proxies[0].leavesByFlexibleIPs() {
		// Otherwise no machine could serve instead: the addresses are at one of them.
		d.drainRemoved(observed)
	}
	d.postponeReplacements(observed)
	d.plan.sort()
	return d, nil
}

// DiffDestroy plans the deletion of all resources of a stack.
func DiffDestroy(observed *Observed) *Plan {
	d := newDiffer(observed, &Plan{})
	d.deleteUnwanted()
	d.order()
	d.plan.sort()
	return d.plan
}

type differ struct {
	// observed are the observed resources that no wanted one has claimed yet.
	observed map[Key][]Resource
	// making are the steps that create or change a wanted resource.
	making map[Resource]*Step
	plan   *Plan
	// keptVPCs are the IDs of the VPCs of an existing network that egress.yaml
	// names. Bootstrap may have created such a VPC; it stays with its network.
	keptVPCs []string
	// attachedTo are the IDs of the servers that observed public addresses are attached to,
	// by the IDs of the addresses.
	attachedTo map[string]string
}

func newDiffer(observed *Observed, plan *Plan) *differ {
	d := &differ{observed: observed.byKey(), making: map[Resource]*Step{}, plan: plan, attachedTo: map[string]string{}}
	for _, r := range observed.Resources {
		if network, ok := r.(*PrivateNetwork); ok && network.Existing && network.VPC != nil {
			d.keptVPCs = append(d.keptVPCs, network.VPC.ID)
		}
		if attachment, ok := r.(*Attachment); ok {
			d.attachedTo[attachment.IP.ID] = attachment.Server.ID
		}
	}
	return d
}

// checkExisting copies the observed properties of the existing network and
// cluster, and returns the errors in them. It comes first: the range of an
// existing network is only known by observation, and other values are derived
// from it.
func (d *differ) checkExisting() []error {
	var errs []error
	network, cluster := d.plan.Graph.Network, d.plan.Graph.Cluster
	if network.Existing && d.copyExisting(network) {
		for _, proxy := range d.plan.Graph.Proxies {
			switch address := proxy.PrivateIP.Address; {
			case !network.CIDR.Contains(address):
				errs = append(errs, fmt.Errorf("%s: %s is not in %s, the range of the Private Network %s",
					proxy.place.Field, address, network.CIDR, network.ID))
			case config.IsReserved(network.CIDR, address):
				errs = append(errs, fmt.Errorf("%s: %s is one of the first two and the last two addresses of %s, the range of the Private Network %s: Scaleway reserves them",
					proxy.place.Field, address, network.CIDR, network.ID))
			}
		}
	}
	if cluster != nil && cluster.Existing && d.copyExisting(cluster) && network.Existing {
		errs = append(errs, checkNetwork(cluster, d.existing(cluster)))
	}
	return errs
}

// checkNetwork returns an error if an existing cluster is not in the proxies'
// network. If that network is not an existing one, it must have been compared
// first: the cluster may have been created in it.
func checkNetwork(wanted, found Resource) error {
	cluster, ok := wanted.(*Cluster)
	observed, both := found.(*Cluster)
	if !ok || !both || observed.Network.ID == cluster.Network.ID {
		return nil
	}
	return fmt.Errorf("spec.cluster.id: the cluster %s is in the Private Network %s, the proxy would be in %s: its pods could not reach the proxy",
		observed.ID, observed.Network.ID, idOf(&cluster.Network.ResourceMeta))
}

// existing returns the observed resource that is wanted by its ID, or nil.
func (d *differ) existing(wanted Resource) Resource {
	for _, r := range d.observed[wanted.Key()] {
		if r.Meta().ID == wanted.Meta().ID {
			return r
		}
	}
	return nil
}

func (d *differ) copyExisting(wanted Resource) bool {
	found := d.existing(wanted)
	if found == nil {
		return false // Observed.Missing contains the error
	}
	wanted.CopyObserved(found)
	return true
}

// compare plans the steps for one wanted resource. The resources that it needs
// have been compared before.
func (d *differ) compare(wanted Resource) error {
	found, deleting := d.claim(wanted)
	if wanted.Meta().Existing {
		if len(found) == 0 {
			return nil // Observed.Missing contains the error
		}
		return checkNetwork(wanted, found[0])
	}
	// A resource is recreated after all of these deletions: a remaining resource
	// would be taken for the new one, or holds something that the new one needs.
	deletions := d.deleteAll(deleting, "is being deleted")
	if len(found) == 0 {
		d.make(wanted, Create, nil).needs(deletions...)
		return nil
	}
	deletions = append(deletions, d.deleteAll(found[1:], "one of several for one purpose; the oldest stays")...)
	current := found[0]
	wanted.CopyObserved(current)
	changes, err := compareFields(wanted, current)
	switch {
	case err != nil:
		return err
	case slices.ContainsFunc(changes, func(c Change) bool { return c.Fixed != "" }):
		d.replace(wanted, current, changes, deletions)
	case len(changes) > 0:
		d.make(wanted, Update, changes).ResourceID = current.Meta().ID
	}
	return nil
}

// replace plans the deletion of a resource and the creation of its replacement,
// which comes after all deletions.
func (d *differ) replace(wanted, current Resource, changes []Change, deletions []*Step) {
	// Resources that need this one compare their reference with an unknown ID.
	wanted.Meta().ID = ""
	if address, ok := wanted.(*PrivateIP); ok && address.Free {
		address.Address = netip.Addr{}
	}
	step := d.make(wanted, Replace, changes)
	step.ResourceID = current.Meta().ID
	if deletion := d.delete(current, "to be replaced"); deletion != nil {
		deletion.replaced = true
		deletions = append(deletions, deletion)
	}
	step.needs(deletions...)
}

// compareFields returns the differences between a wanted and an observed
// resource.
func compareFields(wanted, current Resource) ([]Change, error) {
	if data, ok := wanted.(*UserData); ok {
		observed, ok := current.(*UserData)
		if !ok {
			return nil, fmt.Errorf("%s cannot be compared with %T", wanted.Key(), current)
		}
		return data.changes(observed)
	}
	values := map[string]string{}
	for _, field := range current.Fields() {
		values[field.Name] = field.Value
	}
	var changes []Change
	for _, field := range wanted.Fields() {
		if value, ok := values[field.Name]; ok && value != field.Value && value != Any {
			changes = append(changes, Change{Field: field.Name, From: value, To: field.Value, Fixed: field.Fixed})
		}
	}
	return changes, nil
}

// make adds the step that creates or changes a wanted resource.
func (d *differ) make(wanted Resource, action Action, changes []Change) *Step {
	if action == Create {
		changes = newFields(wanted)
	}
	key := wanted.Key()
	step := &Step{
		ID: key.String(), Action: action, Kind: key.Kind, Role: key.Role, Name: wanted.Meta().Name,
		Changes: changes, resource: wanted,
	}
	for _, need := range wanted.Needs() {
		if before, ok := d.making[need]; ok {
			step.Needs = append(step.Needs, before.ID)
		}
	}
	d.making[wanted] = step
	d.plan.Steps = append(d.plan.Steps, step)
	return step
}

// newFields returns the properties of a new resource, without the self-evident
// ones.
func newFields(wanted Resource) []Change {
	if data, ok := wanted.(*UserData); ok {
		return revisionChanges(data.Revisions, nil)
	}
	var changes []Change
	for _, field := range wanted.Fields() {
		switch field.Name {
		case "name", "status", "cloud-init":
		default:
			changes = append(changes, Change{Field: field.Name, To: field.Value})
		}
	}
	return changes
}

func (d *differ) deleteAll(resources []Resource, reason string) []*Step {
	var steps []*Step
	for _, r := range resources {
		if step := d.delete(r, reason); step != nil {
			steps = append(steps, step)
		}
	}
	return steps
}

// delete adds the step that deletes an observed resource. It returns nil for a
// resource that stays, and for one that goes away with another resource.
func (d *differ) delete(r Resource, reason string) *Step {
	key := r.Key()
	switch {
	case r.Meta().Existing, isPart(r) && !key.Kind.row().deletedAlone:
		return nil
	case key.Kind == KindVPC && slices.Contains(d.keptVPCs, r.Meta().ID):
		return nil
	}
	step := &Step{
		ID: "delete " + key.String() + " " + r.Meta().ID, Action: Delete, Kind: key.Kind, Role: key.Role,
		Name: r.Meta().Name, ResourceID: r.Meta().ID, Reason: reason, resource: r,
		// A further machine takes the place of the temporary one.
		Temporary: d.plan.Graph != nil && key == Key{KindPrivateIP, roleSpare},
	}
	d.plan.Steps = append(d.plan.Steps, step)
	return step
}

// deleteUnwanted deletes the resources that no wanted one has claimed.
func (d *differ) deleteUnwanted() {
	keys := make([]Key, 0, len(d.observed))
	for key := range d.observed {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, compareKeys)
	for _, key := range keys {
		for _, r := range d.observed[key] {
			if !isPart(r) {
				d.delete(r, "not wanted any more")
			}
		}
	}
}
