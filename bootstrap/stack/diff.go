package stack

import (
	"errors"
	"fmt"
	"slices"
)

// Diff plans what turns what exists into what is wanted. It is pure: the same
// arguments give the same plan. The error says what makes the configuration
// impossible for what exists.
func Diff(spec Spec, observed *Observed) (*Plan, error) {
	graph, err := Desired(spec)
	if err != nil {
		return nil, err
	}
	d := newDiffer(observed, &Plan{Graph: graph})
	d.spec = spec
	if err := errors.Join(append(observed.Missing, d.checkGiven()...)...); err != nil {
		return nil, err
	}
	if err := graph.renderCloudInit(); err != nil {
		return nil, err
	}
	for _, wanted := range graph.resources {
		if err := d.compare(wanted); err != nil {
			return nil, err
		}
	}
	d.deleteUnwanted()
	d.order()
	d.plan.sort()
	return d.plan, nil
}

// DiffDestroy plans the removal of everything that belongs to a set-up.
func DiffDestroy(observed *Observed) *Plan {
	d := newDiffer(observed, &Plan{})
	d.deleteUnwanted()
	d.order()
	d.plan.sort()
	return d.plan
}

type differ struct {
	spec Spec
	// existing are the observed resources that no wanted one has claimed yet.
	existing map[Key][]Resource
	// making are the steps that make or change a wanted resource.
	making map[Resource]*Step
	plan   *Plan
	// givenVPCs are the IDs of those that a given network is in. It may be one
	// that bootstrap made: then they stay, too.
	givenVPCs []string
}

func newDiffer(observed *Observed, plan *Plan) *differ {
	d := &differ{existing: observed.byKey(), making: map[Resource]*Step{}, plan: plan}
	for _, r := range observed.Resources {
		if network, ok := r.(*PrivateNetwork); ok && network.Existing && network.VPC != nil {
			d.givenVPCs = append(d.givenVPCs, network.VPC.ID)
		}
	}
	return d
}

// checkGiven adopts what is given, and says what is wrong with it. It comes
// before everything else: of a given network, only looking at it tells the
// range, from which more is derived.
func (d *differ) checkGiven() []error {
	var errs []error
	network, cluster := d.plan.Graph.Network, d.plan.Graph.Cluster
	if network.Existing && d.adoptGiven(network) && !network.CIDR.Contains(d.spec.Proxy.PrivateIP) {
		errs = append(errs, fmt.Errorf("proxy.privateIP: %s is not in %s, the range of the Private Network %s",
			d.spec.Proxy.PrivateIP, network.CIDR, network.ID))
	}
	if cluster != nil && cluster.Existing && d.adoptGiven(cluster) && network.Existing {
		errs = append(errs, checkPlace(cluster, d.given(cluster)))
	}
	return errs
}

// checkPlace says that a given cluster is not in the proxy's network. One that
// is not given must have been compared: a cluster may have been made in it.
func checkPlace(wanted, found Resource) error {
	cluster, ok := found.(*Cluster)
	if !ok {
		return nil
	}
	if network := wanted.(*Cluster).Network; cluster.Network.ID != network.ID {
		return fmt.Errorf("cluster.id: the cluster %s is in the Private Network %s, the proxy would be in %s: its pods could not reach the proxy",
			cluster.ID, cluster.Network.ID, idOf(&network.ResourceMeta))
	}
	return nil
}

// given returns the observed resource that is wanted by its ID, if there is one.
func (d *differ) given(wanted Resource) Resource {
	for _, r := range d.existing[wanted.Key()] {
		if r.Meta().ID == wanted.Meta().ID {
			return r
		}
	}
	return nil
}

func (d *differ) adoptGiven(wanted Resource) bool {
	found := d.given(wanted)
	if found == nil {
		return false // which Observed.Missing tells
	}
	wanted.CopyObserved(found)
	return true
}

// compare plans what has to be done about one wanted resource. Those that it
// needs have been compared.
func (d *differ) compare(wanted Resource) error {
	found, leaving := d.claim(wanted)
	if wanted.Meta().Existing {
		if len(found) == 0 {
			return nil // which Observed.Missing tells
		}
		return checkPlace(wanted, found[0])
	}
	// What is made anew waits for all of these: what is still there would be
	// taken for it, or has what it needs.
	deletions := d.deleteAll(leaving, "is being deleted")
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
		// What needs it will find that its ID is not known yet.
		wanted.Meta().ID = ""
		step := d.make(wanted, Replace, changes)
		step.ResourceID = current.Meta().ID
		if deletion := d.delete(current, "to be replaced"); deletion != nil {
			deletion.replaced = true
			deletions = append(deletions, deletion)
		}
		step.needs(deletions...)
	case len(changes) > 0:
		d.make(wanted, Update, changes).ResourceID = current.Meta().ID
	}
	return nil
}

// claim takes the observed resources that a wanted one is compared with, and
// those that are being deleted.
func (d *differ) claim(wanted Resource) (found, leaving []Resource) {
	for _, r := range d.claimAll(wanted) {
		if r.Meta().Deleting {
			leaving = append(leaving, r)
		} else {
			found = append(found, r)
		}
	}
	return found, leaving
}

func (d *differ) claimAll(wanted Resource) []Resource {
	found := d.existing[wanted.Key()]
	delete(d.existing, wanted.Key())
	if wanted.Meta().Existing {
		// Whatever was made for this purpose before is no longer wanted.
		made := slices.DeleteFunc(slices.Clone(found), func(r Resource) bool { return r.Meta().ID == wanted.Meta().ID })
		if len(made) > 0 {
			d.existing[wanted.Key()] = made
		}
		return slices.DeleteFunc(found, func(r Resource) bool { return r.Meta().ID != wanted.Meta().ID })
	}
	if isPart(wanted) && !d.plan.Graph.Server.exists() {
		return nil // it goes with the server that is replaced
	}
	return slices.DeleteFunc(found, func(r Resource) bool {
		// A given resource is never taken for one that was made. And of several
		// addresses for one purpose, that of a younger one goes with it.
		return r.Meta().Existing || !sameAddress(wanted, r)
	})
}

func sameAddress(wanted, found Resource) bool {
	a, ok := wanted.(*Attachment)
	b, both := found.(*Attachment)
	return !ok || !both || a.IP.ID == b.IP.ID
}

// isPart says whether a resource comes and goes with the server.
func isPart(r Resource) bool {
	switch r.Key().Kind {
	case KindPrivateNIC, KindAttachment, KindUserData, KindPower:
		return true
	case KindVolume:
		return r.Key().Role == "" // the others have lost their server
	default:
		return false
	}
}

// compareFields returns what differs.
func compareFields(wanted, current Resource) ([]Change, error) {
	if data, ok := wanted.(*UserData); ok {
		observed, ok := current.(*UserData)
		if !ok {
			return nil, errors.New("user data compared with something else")
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

// make adds the step that makes or changes a wanted resource.
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

// newFields tells what a new resource will be like: of what goes without
// saying, nothing.
func newFields(wanted Resource) []Change {
	var changes []Change
	for _, field := range wanted.Fields() {
		switch field.Name {
		case "name", "status", "cloud-init":
		default:
			changes = append(changes, Change{Field: field.Name, To: field.Value})
		}
	}
	if data, ok := wanted.(*UserData); ok {
		changes = revisionChanges(data.Revisions, nil)
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

// delete adds the step that deletes an observed resource. There is none for
// what is given, or goes with something else.
func (d *differ) delete(r Resource, reason string) *Step {
	if r.Meta().Existing || (isPart(r) && r.Key().Kind != KindPrivateNIC) {
		return nil
	}
	if r.Key().Kind == KindVPC && slices.Contains(d.givenVPCs, r.Meta().ID) {
		return nil
	}
	key := r.Key()
	step := &Step{
		ID: "delete " + key.String() + " " + r.Meta().ID, Action: Delete, Kind: key.Kind, Role: key.Role,
		Name: r.Meta().Name, ResourceID: r.Meta().ID, Reason: reason, resource: r,
	}
	d.plan.Steps = append(d.plan.Steps, step)
	return step
}

// deleteUnwanted deletes what no wanted resource has claimed.
func (d *differ) deleteUnwanted() {
	keys := make([]Key, 0, len(d.existing))
	for key := range d.existing {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, compareKeys)
	for _, key := range keys {
		for _, r := range d.existing[key] {
			if !isPart(r) {
				d.delete(r, "not wanted any more")
			}
		}
	}
}

// order adds what steps need beyond the resources that theirs refers to.
func (d *differ) order() {
	for _, step := range d.plan.Steps {
		for _, other := range d.plan.Steps {
			if comesBefore(other, step) {
				step.needs(other)
			}
		}
	}
}

// comesBefore says whether a step has to wait for another one because one of
// them deletes something.
func comesBefore(other, step *Step) bool {
	switch {
	case step.Action == Delete && other.Action == Delete:
		return slices.Contains(deletedBefore(step.Kind), other.Kind)
	case step.Kind == KindFlexibleIP && step.Action == Delete:
		return other.Kind == KindUserData // the proxy uses it until then
	case step.Kind == KindSecurityGroup && step.Action == Delete:
		return other.Kind == KindServer && other.Action == Update // which may move to another group
	case step.Kind == KindPrivateNIC && step.Action != Delete:
		// The address may be that of a second server, which no other step waits for.
		return other.Kind == KindServer && other.Action == Delete && !other.replaced
	default:
		return false
	}
}

// deletedBefore are the kinds that are in the way when a resource is deleted.
func deletedBefore(kind Kind) []Kind {
	switch kind {
	case KindVPC:
		return []Kind{KindPrivateNetwork}
	case KindPrivateNetwork:
		return []Kind{KindGatewayNetwork, KindPrivateIP, KindServer, KindPrivateNIC, KindCluster, KindPool}
	case KindGateway:
		return []Kind{KindGatewayNetwork}
	case KindSecurityGroup, KindFlexibleIP:
		return []Kind{KindServer}
	case KindPrivateIP:
		return []Kind{KindServer, KindPrivateNIC}
	case KindCluster:
		return []Kind{KindPool}
	default:
		return nil
	}
}
