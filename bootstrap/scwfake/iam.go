package scwfake

import (
	"net/http"
	"time"
)

// application is an application of Identity and Access Management (IAM): a bearer of
// API keys that is not a person.
type application struct {
	base
	description string
}

func (a *API) applicationRoutes() []route {
	const collection, item = "/iam/v1alpha1/applications", "/iam/v1alpha1/applications/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listApplications},
		{method: http.MethodPost, pattern: collection, handle: a.createApplication, creates: "application"},
		{method: http.MethodGet, pattern: item, handle: a.getApplication},
		{method: http.MethodGet, pattern: "/account/v3/projects/{id}", handle: a.getProject},
	}
}

// iamView is the part of the wire form that applications and policies share.
func (a *API) iamView(b *base, description string) object {
	view := a.common(b)
	delete(view, "project_id")
	view["description"] = description
	view["editable"], view["deletable"], view["managed"] = true, true, false
	return view
}

func (a *API) viewApplication(app *application) object {
	view := a.iamView(&app.base, app.description)
	view["srn"] = "srn://iam.scw.eu/applications/" + app.id
	view["nb_api_keys"] = len(a.apiKeys.where(func(k *apiKey) bool { return k.application == app.id }))
	return view
}

// listApplications filters by a part of the name.
func (a *API) listApplications(c *call) (any, error) {
	if err := a.ownOrganization(c.query.Get("organization_id")); err != nil {
		return nil, err
	}
	return list(c, &a.applications, "applications", func(app *application) bool { return matches(c.query, &app.base) }, a.viewApplication), nil
}

func (a *API) createApplication(c *call) (any, error) {
	var in struct {
		Name           string   `json:"name"`
		Description    string   `json:"description"`
		OrganizationID string   `json:"organization_id"`
		Tags           []string `json:"tags"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := a.ownOrganization(in.OrganizationID); err != nil {
		return nil, err
	}
	if err := iamText(in.Name, in.Description, in.Tags); err != nil {
		return nil, err
	}
	app := &application{base: c.newBase(in.Name, "", in.Tags, ""), description: in.Description}
	a.applications.add(app)
	return a.viewApplication(app), nil
}

func (a *API) getApplication(c *call) (any, error) {
	app, err := get(c, &a.applications, "id")
	if err != nil {
		return nil, err
	}
	return a.viewApplication(app), nil
}

// getProject answers for the one project of the fake. The shape is that of the recorded
// creation of a project.
func (a *API) getProject(c *call) (any, error) {
	if id := c.values["id"]; id != a.options.ProjectID {
		return nil, notFound("project", id)
	}
	created := stamp(time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC))
	return object{
		"id": a.options.ProjectID, "name": "default", "organization_id": a.options.OrganizationID,
		"created_at": created, "updated_at": created, "description": "", "qualification": nil,
	}, nil
}

// ownOrganization refuses a missing organization and that of another customer.
// Reconstructed from the SDK.
func (a *API) ownOrganization(id string) error {
	switch id {
	case a.options.OrganizationID:
		return nil
	case "":
		return invalidArgument("organization_id", "required", "")
	default:
		return permissionsDenied("read", "organization")
	}
}

// The bounds that the SDK documents for applications, policies and API keys.
const (
	maxIAMName        = 64
	maxIAMDescription = 200
	maxIAMTags        = 10
)

// iamText refuses texts outside the bounds.
func iamText(name, description string, tags []string) error {
	switch {
	case name == "":
		return invalidArgument("name", "required", "")
	case len(name) > maxIAMName:
		return invalidArgument("name", "constraint", "at most 64 characters")
	case len(description) > maxIAMDescription:
		return invalidArgument("description", "constraint", "at most 200 characters")
	case len(tags) > maxIAMTags:
		return invalidArgument("tags", "constraint", "at most 10 tags")
	default:
		return nil
	}
}

// IAM returns the applications, policies and API keys of the organization, sorted by
// kind, then by age. The API key of Options.Token and the secret keys are left out.
func (a *API) IAM() []Item {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []Item
	all = appendItems(all, "api-key", a.apiKeys.where(func(k *apiKey) bool { return k.application != "" }),
		func(k *apiKey) (string, object) {
			view := a.viewAPIKey(k)
			delete(view, "expires_at")
			return k.application, view
		})
	all = appendItems(all, "application", a.applications.items,
		func(app *application) (string, object) { return "", a.viewApplication(app) })
	return appendItems(all, "policy", a.policies.items, func(p *policy) (string, object) {
		view := a.viewPolicy(p)
		view["rules"] = p.rules
		return p.application, view
	})
}
