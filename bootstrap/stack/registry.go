package stack

// KindRegistry is the kind of Registry.
const KindRegistry Kind = "registry"

var registryRow = kindRow{kind: KindRegistry, loss: always("its images")}

// Registry is a namespace of the container registry. It cannot carry tags, so its
// description names its owner.
type Registry struct {
	ResourceMeta
	Public bool
	// Endpoint is the address that images are pushed to. It is empty until the
	// namespace exists.
	Endpoint string
}

// RegistryDescription returns the description that marks a registry namespace as
// a resource of the stack with this name.
func RegistryDescription(name string) string { return "made by bootstrap: " + OwnerTag(name) }

// Key implements Resource.
func (*Registry) Key() Key { return Key{Kind: KindRegistry} }

// Needs implements Resource.
func (*Registry) Needs() []Resource { return nil }

// Fields implements Resource.
func (r *Registry) Fields() []Field {
	return []Field{
		{Name: "name", Value: r.Name, Fixed: "a namespace keeps its name"},
		{Name: "public", Value: yesNo(r.Public)},
	}
}

// CopyObserved implements Resource.
func (r *Registry) CopyObserved(observed Resource) {
	r.copyObserved(observed)
	if registry, ok := observed.(*Registry); ok {
		r.Endpoint = registry.Endpoint
	}
}
