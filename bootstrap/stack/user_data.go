package stack

import (
	"bytes"
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
}

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

// known reports whether the value can be rendered yet.
func (u *UserData) known() bool {
	return !slices.ContainsFunc(u.Sources, func(a *FlexibleIP) bool { return !a.Address.IsValid() })
}

// changes describes the differences from an observed value: by tenants, if it is
// a squid.conf, and by the number of lines.
func (u *UserData) changes(observed *UserData) ([]Change, error) {
	changes := revisionChanges(u.Revisions, observed.Revisions)
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
