package scwfake

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/scaleway/scaleway-sdk-go/validation"
)

// DefaultAccessKey is the access key of Options.Token unless another one is set.
const DefaultAccessKey = "SCWXXXXXXXXXXXXXXXXX"

// apiKey is an API key. Its ID is the access key. Its bearer is an application, or the
// owner of the organization if application is empty.
type apiKey struct {
	base
	secret, description, application string
	// expires is zero for a key without an end.
	expires time.Time
}

func (a *API) apiKeyRoutes() []route {
	const collection, item = "/iam/v1alpha1/api-keys", "/iam/v1alpha1/api-keys/{id}"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listAPIKeys},
		{method: http.MethodPost, pattern: collection, handle: a.createAPIKey, creates: "api_key"},
		{method: http.MethodGet, pattern: item, handle: a.getAPIKey},
		{method: http.MethodPatch, pattern: item, handle: a.updateAPIKey},
		{method: http.MethodDelete, pattern: item, handle: a.deleteAPIKey, status: http.StatusNoContent},
	}
}

// viewAPIKey does not contain the secret key, which only the reply to the creation has.
func (a *API) viewAPIKey(k *apiKey) object {
	view := object{
		"srn": "srn://iam.scw.eu/api-keys/" + k.id, "access_key": k.id, "secret_key": nil, "description": k.description,
		"created_at": stamp(k.created), "updated_at": stamp(k.updated), "expires_at": nil,
		"default_project_id": k.project, "editable": true, "deletable": true, "managed": false, "creation_ip": "192.0.2.1",
	}
	if !k.expires.IsZero() {
		view["expires_at"] = k.expires.Format(time.RFC3339Nano)
	}
	if k.application != "" {
		view["application_id"] = k.application
	} else {
		view["user_id"] = fixedID("owner")
	}
	return view
}

func (a *API) listAPIKeys(c *call) (any, error) {
	return list(c, &a.apiKeys, "api_keys", func(k *apiKey) bool {
		return is(c.query, "application_id", k.application) && is(c.query, "bearer_id", k.application) &&
			is(c.query, "access_keys", k.id) && strings.Contains(k.description, c.query.Get("description"))
	}, a.viewAPIKey), nil
}

func (a *API) createAPIKey(c *call) (any, error) {
	var in struct {
		ApplicationID    string    `json:"application_id"`
		DefaultProjectID string    `json:"default_project_id"`
		Description      string    `json:"description"`
		ExpiresAt        time.Time `json:"expires_at"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	if err := iamText("key", in.Description, nil); err != nil {
		return nil, err
	}
	if _, err := a.applications.find("", in.ApplicationID); err != nil {
		return nil, err
	}
	if !in.ExpiresAt.IsZero() && in.ExpiresAt.Before(time.Now()) {
		return nil, invalidArgument("expires_at", "constraint", "must be in the future")
	}
	k := &apiKey{
		base:   c.newBase("", in.DefaultProjectID, nil, ""),
		secret: newID(), description: in.Description, application: in.ApplicationID, expires: in.ExpiresAt.UTC(),
	}
	k.id = newAccessKey()
	a.apiKeys.add(k)
	view := a.viewAPIKey(k)
	view["secret_key"] = k.secret
	return view, nil
}

func (a *API) getAPIKey(c *call) (any, error) {
	k, err := get(c, &a.apiKeys, "id")
	if err != nil {
		return nil, err
	}
	return a.viewAPIKey(k), nil
}

func (a *API) updateAPIKey(c *call) (any, error) {
	k, err := a.apiKeys.find("", c.values["id"])
	if err != nil {
		return nil, err
	}
	in := struct {
		Description      *string `json:"description"`
		DefaultProjectID *string `json:"default_project_id"`
	}{&k.description, &k.project}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	k.updated = a.now()
	return a.viewAPIKey(k), nil
}

func (a *API) deleteAPIKey(c *call) (any, error) {
	k, err := a.apiKeys.find("", c.values["id"])
	if err != nil {
		return nil, err
	}
	a.apiKeys.remove(k)
	a.revoked = append(a.revoked, k.secret)
	return nil, nil
}

// newAccessKey returns SCW and 17 random capital letters and digits.
func newAccessKey() string {
	const random = 17
	return "SCW" + rand.Text()[:random]
}

// authenticate accepts the configured token, or any UUID if there is none, and the API
// keys that were created. Reading /metadata needs no token.
func (a *API) authenticate(r *http.Request) error {
	token := r.Header.Get("X-Auth-Token")
	if r.URL.Path == metadataPath {
		return nil
	}
	for _, k := range a.apiKeys.items {
		if k.secret == token && token != "" {
			return a.authorize(k, r)
		}
	}
	switch {
	case !validation.IsUUID(token):
		return deniedAuthentication("invalid_argument")
	case a.options.Token != "" && token != a.options.Token, slices.Contains(a.revoked, token):
		return deniedAuthentication("not_found")
	default:
		return nil
	}
}

// authorize refuses an expired key, and a request that the policies of its application
// do not admit.
func (a *API) authorize(k *apiKey, r *http.Request) error {
	if !k.expires.IsZero() && time.Now().After(k.expires) {
		return deniedAuthentication("expired")
	}
	product, needed := permissionOf(r)
	if k.application == "" || needed == nil {
		return nil
	}
	for _, p := range a.policies.items {
		for _, rule := range p.rules {
			here := rule.OrganizationID != "" || slices.Contains(rule.ProjectIDs, a.options.ProjectID)
			admits := slices.ContainsFunc(rule.PermissionSets, func(set string) bool { return slices.Contains(needed, set) })
			if p.application == k.application && here && admits {
				return nil
			}
		}
	}
	return permissionsDenied(actionOf(r), product)
}

// actionOf returns the action of a request, as errors about permissions name it.
func actionOf(r *http.Request) string {
	if r.Method == http.MethodGet {
		return "read"
	}
	return "write"
}

// permissionFamilies are the beginnings of permission sets by the path of requests.
// The first match counts.
func permissionFamilies() []struct{ product, part, family string } {
	return []struct{ product, part, family string }{
		{"vpc", "/private-networks", "PrivateNetworks"},
		{"vpc", "", "VPC"},
		{"vpc-gw", "", "VPCGateway"},
		{"ipam", "", "IPAM"},
		{"instance", "", "Instances"},
		{"block", "", "BlockStorage"},
		{"k8s", "", "Kubernetes"},
		{"registry", "", "ContainerRegistry"},
	}
}

// permissionOf returns the product of a request, and the permission sets that admit
// it. There are none for products that are open to everyone.
func permissionOf(r *http.Request) (product string, sets []string) {
	product, _, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	reads := r.Method == http.MethodGet
	switch product {
	case "iam":
		if reads {
			return product, []string{"IAMManager", "IAMReadOnly"}
		}
		return product, []string{"IAMManager"}
	case "account":
		return product, []string{"ProjectManager", "ProjectReadOnly"}
	}
	for _, f := range permissionFamilies() {
		if f.product != product || !strings.Contains(r.URL.Path, f.part) {
			continue
		}
		sets = []string{f.family + "FullAccess", "AllProductsFullAccess"}
		if reads {
			sets = append(sets, f.family+"ReadOnly")
		}
		return product, sets
	}
	return product, nil
}

// permissionSets returns the names that rules may contain.
func permissionSets() []string {
	sets := []string{"IAMManager", "IAMReadOnly", "ProjectManager", "ProjectReadOnly", "AllProductsFullAccess", "SSHKeysReadOnly"}
	for _, f := range permissionFamilies() {
		sets = append(sets, f.family+"FullAccess", f.family+"ReadOnly")
	}
	return sets
}
