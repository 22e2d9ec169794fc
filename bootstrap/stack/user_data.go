package stack

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"egress.scw/cloudinit"
)

// KindUserData is the kind of UserData.
const KindUserData Kind = "user-data"

var userDataRow = kindRow{
	kind: KindUserData, creating: "writing", created: "written", property: true,
	server: typed(func(u *UserData) *Server { return u.Server }),
}

// UserData is a value that a server reads from its metadata service.
type UserData struct {
	ResourceMeta
	Server *Server
	// DataKey is the key of the value: one of UserDataKeys.
	DataKey string
	// Value is the current value; of observed user data only.
	Value []byte
	// Render returns the wanted value. All Sources must have their addresses by
	// then.
	Render  func() ([]byte, error)
	Sources []*FlexibleIP
	// After are the attachments that should exist when the server reads the
	// value.
	After []*Attachment
	// Revisions are the revisions of the tenants in the value, by the tenant's
	// name.
	Revisions map[string]string
	// Ports are the tenants in the wanted value, by their ports.
	Ports map[string]string
}

// UserDataStatus is the key of the status that a machine writes itself. It is not part
// of a plan.
const UserDataStatus = cloudinit.UserDataStatus

// UserDataKeys returns the keys under which the servers of a stack have user
// data.
func UserDataKeys() []string {
	return []string{cloudinit.UserDataCloudInit, cloudinit.UserDataSquidConf}
}

// ObserveUserData returns the user data that a server has under a key. The server
// keeps the value that it boots from.
func (s *Server) ObserveUserData(key string, value []byte) *UserData {
	if key == cloudinit.UserDataCloudInit {
		s.CloudInit = value
	}
	return &UserData{
		ResourceMeta: ResourceMeta{ID: s.ID, Name: s.Name}, Server: s, DataKey: key, Value: value,
		Revisions: cloudinit.Revisions(value),
	}
}

// Key implements Resource.
func (u *UserData) Key() Key { return Key{KindUserData, u.Server.Role + "/" + u.DataKey} }

// Needs implements Resource.
func (u *UserData) Needs() []Resource {
	needs := []Resource{u.Server}
	for _, address := range u.Sources {
		needs = append(needs, address)
	}
	for _, attachment := range u.After {
		needs = append(needs, attachment)
	}
	return needs
}

// Fields implements Resource. The changes method compares the values.
func (*UserData) Fields() []Field { return nil }

// CopyObserved implements Resource.
func (u *UserData) CopyObserved(observed Resource) { u.copyObserved(observed) }

// HasAuthority reports whether the current value has the authority of the sidecars.
func (u *UserData) HasAuthority() bool { return cloudinit.HasAuthority(u.Value) }

// known reports whether the value can be rendered yet.
func (u *UserData) known() bool {
	return !slices.ContainsFunc(u.Sources, func(a *FlexibleIP) bool { return !a.Address.IsValid() })
}

// changes describes the differences from an observed value: by tenants, if it is
// a squid.conf, and by the number of lines.
func (u *UserData) changes(observed *UserData) ([]Change, error) {
	changes := append(revisionChanges(u.Revisions, observed.Revisions), portChanges(u.Ports, cloudinit.Ports(observed.Value))...)
	if !u.known() {
		return append(changes, Change{Field: "text", To: Unknown}), nil
	}
	wanted, err := u.Render()
	if err != nil {
		return nil, err
	}
	if bytes.Equal(wanted, observed.Value) {
		return changes, nil
	}
	added, removed := lineDifference(decoded(observed.Value), decoded(wanted))
	return append(changes, Change{Field: "text", From: strconv.Itoa(removed) + " lines", To: strconv.Itoa(added) + " lines"}), nil
}

func revisionChanges(wanted, observed map[string]string) []Change {
	var changes []Change
	for name, revision := range wanted {
		if observed[name] != revision {
			changes = append(changes, Change{Field: "tenant " + name, From: observed[name], To: revision})
		}
	}
	for name, revision := range observed {
		if _, ok := wanted[name]; !ok {
			changes = append(changes, Change{Field: "tenant " + name, From: revision})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Field, b.Field) })
	return changes
}

// portChanges describes the ports that pass from one tenant to another.
func portChanges(wanted, observed map[string]string) []Change {
	var changes []Change
	for port, tenant := range wanted {
		if before := observed[port]; before != "" && before != tenant {
			changes = append(changes, Change{Field: "port " + port, From: before, To: tenant})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Field, b.Field) })
	return changes
}

// checkPorts returns an error for each port that passes to another tenant in the plan
// that replaces its machine. A new machine has no record of the tenants of before, and
// would serve the new one before the cluster has followed.
func (d *differ) checkPorts(before *Observed) error {
	var errs []error
	for _, r := range before.Resources {
		observed, isData := r.(*UserData)
		if !isData || observed.DataKey != cloudinit.UserDataSquidConf {
			continue
		}
		for _, step := range d.plan.Steps {
			wanted, isData := step.resource.(*UserData)
			if !isData || wanted.Key() != observed.Key() || wanted.Server.exists() {
				continue
			}
			for _, change := range portChanges(wanted.Ports, cloudinit.Ports(observed.Value)) {
				errs = append(errs, fmt.Errorf("spec.tenants: %s passes from %s to %s in a plan that replaces %s, which would not know that: apply the change of the port first, and the replacement when the port is served again",
					change.Field, change.From, change.To, wanted.Server.Name))
			}
		}
	}
	return errors.Join(errs...)
}

// decoded returns the readable form of user data: squid.conf is compressed.
func decoded(value []byte) []byte {
	if conf, err := cloudinit.DecodeSquidConf(value); err == nil {
		return conf
	}
	return value
}

// lineDifference counts the lines that only one of two texts has.
func lineDifference(old, wanted []byte) (added, removed int) {
	count := map[string]int{}
	for line := range bytes.Lines(wanted) {
		count[string(line)]++
	}
	for line := range bytes.Lines(old) {
		count[string(line)]--
	}
	for _, n := range count {
		added += max(n, 0)
		removed -= min(n, 0)
	}
	return added, removed
}
