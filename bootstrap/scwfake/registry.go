package scwfake

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// namespace is a namespace of the Container Registry. It has no tags. Its name is the
// only unique name: in a region, over all organisations.
type namespace struct {
	base
	description string
	public      bool
}

// The statuses of namespaces.
const (
	namespaceReady    = "ready"
	namespaceDeleting = "deleting"
)

func (a *API) registryRoutes() []route {
	const collection, item = "/registry/v1/regions/{region}/namespaces", "/registry/v1/regions/{region}/namespaces/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listNamespaces},
		{method: http.MethodPost, pattern: collection, handle: a.createNamespace, creates: "namespace", latency: PostNamespace},
		{method: http.MethodGet, pattern: item, handle: a.getNamespace},
		{method: http.MethodPatch, pattern: item, handle: a.updateNamespace},
		{method: http.MethodDelete, pattern: item, handle: a.deleteNamespace},
	}
}

func (a *API) viewNamespace(n *namespace) object {
	// The registry is the only API with nanoseconds.
	nanos := func(t time.Time) string { return t.Format("2006-01-02T15:04:05.000000000Z") }
	view := a.common(&n.base)
	delete(view, "tags")
	view["created_at"], view["updated_at"] = nanos(n.created), nanos(n.updated)
	view["description"] = n.description
	view["endpoint"] = "rg." + n.place + ".scw.cloud/" + n.name
	view["image_count"] = 0
	view["is_public"] = n.public
	view["region"] = n.place
	view["size"] = 0
	view["status"] = n.status
	view["status_message"] = ""
	return view
}

// listNamespaces filters by the exact name.
func (a *API) listNamespaces(c *call) (any, error) {
	return list(c, &a.namespaces, "namespaces", func(n *namespace) bool {
		return is(c.query, "project_id", n.project) && is(c.query, "name", n.name)
	}, a.viewNamespace), nil
}

func (a *API) createNamespace(c *call) (any, error) {
	var in struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		ProjectID   string `json:"project_id"`
		Public      bool   `json:"is_public"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if in.Name == "" || strings.ToLower(in.Name) != in.Name {
		return nil, invalidArgument("name", "format", "a name is of lower-case letters, digits and dashes")
	}
	if slices.Contains(a.options.ForeignNamespaces, in.Name) || a.namespaces.any(func(n *namespace) bool {
		return n.place == c.place() && n.name == in.Name
	}) {
		// Reconstructed: the registry's errors have no type.
		return nil, untyped(http.StatusConflict, "Namespace name is already taken")
	}
	n := &namespace{
		base: c.newBase(in.Name, in.ProjectID, nil, namespaceReady), description: in.Description, public: in.Public,
	}
	a.namespaces.add(n)
	return a.viewNamespace(n), nil
}

func (a *API) getNamespace(c *call) (any, error) {
	n, err := get(c, &a.namespaces, "id")
	if err != nil {
		return nil, err
	}
	return a.viewNamespace(n), nil
}

func (a *API) updateNamespace(c *call) (any, error) {
	n, err := a.namespaces.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	in := struct {
		Description *string `json:"description"`
		Public      *bool   `json:"is_public"`
	}{&n.description, &n.public}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	n.updated = a.now()
	return a.viewNamespace(n), nil
}

func (a *API) deleteNamespace(c *call) (any, error) {
	n, err := a.namespaces.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	a.set(&n.base, namespaceDeleting)
	a.schedule(n, hold(), step{do: func() { a.namespaces.remove(n) }})
	return a.viewNamespace(n), nil
}
