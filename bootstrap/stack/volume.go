package stack

// KindVolume is the kind of Volume.
const KindVolume Kind = "volume"

var volumeRow = kindRow{
	kind: KindVolume, server: typed(func(v *Volume) *Server { return v.Server }),
	loss: always("its content, such as an audit log"),
}

// Volume is the boot volume of a server. The API creates it with the server and
// does not delete it with the server. It carries the stack's tag, so that it is
// found again.
//
// The deletion of a volume is part of the deletion of its server. A volume that
// has lost its server has none, and its role is its ID.
type Volume struct {
	ResourceMeta
	Role   string
	Zone   string
	Server *Server
}

// Key implements Resource.
func (v *Volume) Key() Key { return Key{KindVolume, v.Role} }

// Needs implements Resource.
func (v *Volume) Needs() []Resource {
	if v.Server == nil {
		return nil
	}
	return []Resource{v.Server}
}

// Fields implements Resource.
func (v *Volume) Fields() []Field { return []Field{{Name: "name", Value: v.Name}} }

// CopyObserved implements Resource.
func (v *Volume) CopyObserved(observed Resource) { v.copyObserved(observed) }
