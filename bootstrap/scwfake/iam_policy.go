package scwfake

import (
	"net/http"
	"slices"
)

// policy gives an application its permissions.
type policy struct {
	base
	description, application string
	rules                    []iamRule
	// read is whether the policy was read since its creation: the reply to the
	// creation counts no rules, as recorded.
	read bool
}

// iamRule admits the permission sets in projects, or in the whole organization.
type iamRule struct {
	ID             string   `json:"id"`
	PermissionSets []string `json:"permission_set_names"`
	Condition      string   `json:"condition"`
	ProjectIDs     []string `json:"project_ids"`
	OrganizationID string   `json:"organization_id"`
}

func (a *API) policyRoutes() []route {
	const collection, rules = "/iam/v1alpha1/policies", "/iam/v1alpha1/rules"
	return []route{
		{method: http.MethodGet, pattern: collection, handle: a.listPolicies},
		{method: http.MethodPost, pattern: collection, handle: a.createPolicy, creates: "policy"},
		{method: http.MethodGet, pattern: rules, handle: a.listPolicyRules},
		{method: http.MethodPut, pattern: rules, handle: a.setPolicyRules},
	}
}

func (a *API) viewPolicy(p *policy) object {
	view := a.iamView(&p.base, p.description)
	view["application_id"] = p.application
	var rules, scopes, sets int
	if p.read {
		rules = len(p.rules)
		for _, r := range p.rules {
			scopes += max(1, len(r.ProjectIDs))
			sets += len(r.PermissionSets)
		}
	}
	view["nb_rules"], view["nb_scopes"], view["nb_permission_sets"] = rules, scopes, sets
	return view
}

// viewRule has the scope type of the permission sets, which is "projects" for those of
// products also if the rule is one of the organization, as recorded.
func viewRule(r iamRule) object {
	view := object{
		"id": r.ID, "permission_set_names": r.PermissionSets, "condition": r.Condition, "permission_sets_scope_type": "projects",
	}
	if r.OrganizationID != "" {
		view["organization_id"] = r.OrganizationID
	} else {
		view["project_ids"] = r.ProjectIDs
	}
	return view
}

func (a *API) listPolicies(c *call) (any, error) {
	if err := a.ownOrganization(c.query.Get("organization_id")); err != nil {
		return nil, err
	}
	reply := list(c, &a.policies, "policies", func(p *policy) bool {
		p.read = true
		return is(c.query, "application_ids", p.application)
	}, a.viewPolicy)
	return reply, nil
}

func (a *API) createPolicy(c *call) (any, error) {
	var in struct {
		Name           string    `json:"name"`
		Description    string    `json:"description"`
		OrganizationID string    `json:"organization_id"`
		ApplicationID  string    `json:"application_id"`
		Rules          []iamRule `json:"rules"`
		Tags           []string  `json:"tags"`
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
	if _, err := a.applications.find("", in.ApplicationID); err != nil {
		return nil, err
	}
	rules, err := a.checkedRules(in.Rules)
	if err != nil {
		return nil, err
	}
	p := &policy{
		base: c.newBase(in.Name, "", in.Tags, ""), description: in.Description, application: in.ApplicationID, rules: rules,
	}
	a.policies.add(p)
	return a.viewPolicy(p), nil
}

func (a *API) listPolicyRules(c *call) (any, error) {
	p, err := a.policies.find("", c.query.Get("policy_id"))
	if err != nil {
		return nil, err
	}
	part, _, _ := page(c.query, p.rules, "page_size", defaultPageSize)
	return object{"rules": views(part, viewRule), "total_count": len(p.rules)}, nil
}

func (a *API) setPolicyRules(c *call) (any, error) {
	var in struct {
		PolicyID string    `json:"policy_id"`
		Rules    []iamRule `json:"rules"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	p, err := a.policies.find("", in.PolicyID)
	if err != nil {
		return nil, err
	}
	rules, err := a.checkedRules(in.Rules)
	if err != nil {
		return nil, err
	}
	p.rules, p.updated = rules, a.now()
	return object{"rules": views(p.rules, viewRule)}, nil
}

// checkedRules gives the rules new IDs. It refuses rules without exactly one scope, and
// unknown permission sets. Reconstructed from the SDK.
func (a *API) checkedRules(rules []iamRule) ([]iamRule, error) {
	for i := range rules {
		rule := &rules[i]
		if (len(rule.ProjectIDs) > 0) == (rule.OrganizationID != "") {
			return nil, invalidArgument("rules", "constraint", "exactly one of project_ids and organization_id")
		}
		for _, set := range rule.PermissionSets {
			if !slices.Contains(permissionSets(), set) {
				return nil, invalidArgument("rules", "constraint", "unknown permission set "+set)
			}
		}
		rule.ID = newID()
	}
	return listOf(rules), nil
}
