// Package stack decides what has to be done at Scaleway so that an egress.yaml
// comes true, and does it: Desired builds the resources that should exist,
// Diff compares them with those that do and returns a Plan, Run carries it out.
//
// There is no state file. What exists is found by its ownership tag each time;
// so a run can be interrupted anywhere, and the next one goes on. Nothing here
// but Cloud talks to anybody.
package stack

import (
	"cmp"
	"slices"
	"time"
)

// Kind is a kind of resource.
type Kind string

// The kinds of resources, in the order in which plans list them.
const (
	KindVPC            Kind = "vpc"
	KindPrivateNetwork Kind = "private-network"
	KindGateway        Kind = "gateway"
	KindGatewayNetwork Kind = "gateway-network"
	KindSecurityGroup  Kind = "security-group"
	KindFlexibleIP     Kind = "flexible-ip"
	KindPrivateIP      Kind = "private-ip"
	KindServer         Kind = "server"
	KindVolume         Kind = "volume"
	KindPrivateNIC     Kind = "private-nic"
	KindAttachment     Kind = "attachment"
	KindUserData       Kind = "user-data"
	KindPower          Kind = "power"
	KindCluster        Kind = "cluster"
	KindPool           Kind = "pool"
	KindRegistry       Kind = "registry"
)

// kinds lists them all.
func kinds() []Kind {
	return []Kind{
		KindVPC, KindPrivateNetwork, KindGateway, KindGatewayNetwork, KindSecurityGroup, KindFlexibleIP, KindPrivateIP,
		KindServer, KindVolume, KindPrivateNIC, KindAttachment, KindUserData, KindPower, KindCluster, KindPool, KindRegistry,
	}
}

// Key says what a resource is for. There should be one resource for each key.
type Key struct {
	Kind Kind
	// Role tells resources of one kind apart: "shared", "metadata" or a tenant's
	// name for addresses, the key of user data, a pool's name. Empty where there is one.
	Role string
}

// String is the key as people read it: "gateway", "pool/system".
func (k Key) String() string {
	if k.Role == "" {
		return string(k.Kind)
	}
	return string(k.Kind) + "/" + k.Role
}

func compareKeys(a, b Key) int {
	return cmp.Or(
		cmp.Compare(slices.Index(kinds(), a.Kind), slices.Index(kinds(), b.Kind)),
		cmp.Compare(a.Role, b.Role),
	)
}

// ResourceMeta is what all resources have. Of a resource that is yet to be made, only
// the name is known.
type ResourceMeta struct {
	// ID is Scaleway's. Resources that are part of another one (user data,
	// power, attachments) have the ID of that one.
	ID string
	// Name is how people find it in Scaleway's console.
	Name string
	// CreatedAt decides between resources for one key: the oldest is the one.
	CreatedAt time.Time
	// Existing is true of a resource that egress.yaml names by its ID: it is used,
	// and never changed or removed.
	Existing bool
	// Deleting is true of a resource that is being deleted.
	Deleting bool
}

// Base returns what the resource has in common with all others.
func (m *ResourceMeta) Meta() *ResourceMeta { return m }

// exists says whether the resource has been made.
func (m *ResourceMeta) exists() bool { return m.ID != "" }

// Resource is something at Scaleway, wanted or observed: one of the pointers
// to the types of this package. It refers to others by pointers, so that what
// is made later finds the IDs of what was made before it.
type Resource interface {
	Key() Key
	Meta() *ResourceMeta

	// Needs are the resources that must exist before this one can.
	Needs() []Resource

	// Fields are what makes two resources of one key different, in the normal
	// form that the API answers in.
	Fields() []Field

	// CopyObserved takes over from an observed resource of the same type what the API
	// decided: ID, addresses.
	CopyObserved(observed Resource)
}

// Unknown is the value of a field that depends on something yet to be made.
const Unknown = "(known after apply)"

// Field is a property that a plan compares.
type Field struct {
	Name  string
	Value string
	// Fixed says why the property cannot be changed in place; empty: it can.
	Fixed string
}

// idOf is the value of a field that refers to another resource.
func idOf(r *ResourceMeta) string {
	if !r.exists() {
		return Unknown
	}
	return r.ID
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// SortByAge sorts resources so that the one that counts comes first.
func SortByAge[R Resource](resources []R) {
	slices.SortFunc(resources, func(a, b R) int {
		return cmp.Or(a.Meta().CreatedAt.Compare(b.Meta().CreatedAt), cmp.Compare(a.Meta().ID, b.Meta().ID))
	})
}

// Ownership: every resource that can carry tags has the first, those of which
// there are several a second, with their role.
const (
	tagOwner = "egress-scw="
	tagRole  = "egress-scw-role="
	tagImage = "egress-scw-image="
)

// TagDeleting marks a server whose deletion has begun: its state alone does not
// tell that it will not come back.
const TagDeleting = "egress-scw-leaving"

// OwnerTag is the tag of everything that belongs to the set-up of that name.
func OwnerTag(name string) string { return tagOwner + name }

// RoleTag is the tag with a resource's role.
func RoleTag(role string) string { return tagRole + role }

// ImageTag is the tag in which a server keeps the label of the image that it
// was made from: the API only tells the image's ID, and a label leads to
// another image every few weeks.
func ImageTag(label string) string { return tagImage + label }

// Role returns the role among a resource's tags, or an empty string.
func Role(tags []string) string { return tagValue(tags, tagRole) }

// Image returns the label of the image among a server's tags, or an empty string.
func Image(tags []string) string { return tagValue(tags, tagImage) }

func tagValue(tags []string, prefix string) string {
	for _, tag := range tags {
		if len(tag) > len(prefix) && tag[:len(prefix)] == prefix {
			return tag[len(prefix):]
		}
	}
	return ""
}
