package stack

import "strings"

// The tags of the stack's resources. Every resource that can carry tags has the
// owner's tag; resources of a kind of which there are several also have a role's
// tag.
const (
	tagOwner = "egress-scw="
	tagRole  = "egress-scw-role="
	tagImage = "egress-scw-image="
)

// TagDeleting marks a server whose deletion has begun. The server's state alone
// does not show that the server will not come back.
const TagDeleting = "egress-scw-deleting"

// OwnerTag returns the tag of all resources of the stack with this name.
func OwnerTag(name string) string { return tagOwner + name }

// RoleTag returns the tag with a resource's role.
func RoleTag(role string) string { return tagRole + role }

// ImageTag returns the tag in which a server keeps the label of the image that it
// was created from. The API only reports the image's ID, and a label refers to
// another image every few weeks.
func ImageTag(label string) string { return tagImage + label }

// Owner returns the name of the stack among a resource's tags, or an empty string.
func Owner(tags []string) string { return tagValue(tags, tagOwner) }

// Role returns the role among a resource's tags, or an empty string.
func Role(tags []string) string { return tagValue(tags, tagRole) }

// Image returns the label of the image among a server's tags, or an empty string.
func Image(tags []string) string { return tagValue(tags, tagImage) }

func tagValue(tags []string, prefix string) string {
	for _, tag := range tags {
		if value, ok := strings.CutPrefix(tag, prefix); ok && value != "" {
			return value
		}
	}
	return ""
}
