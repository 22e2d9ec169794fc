package scwfake

import "net/netip"

// acl is a rule for access to the control plane, in the JSON form of replies.
type acl struct {
	ID          string `json:"id"`
	Region      string `json:"region"`
	IP          string `json:"ip,omitempty"`
	Ranges      *bool  `json:"scaleway_ranges,omitempty"`
	Description string `json:"description"`
}

func (a *API) listACLs(c *call) (any, error) {
	k, err := a.clusters.find(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	part, _, _ := page(c.query, k.acls, "page_size", defaultPageSize)
	return object{"rules": part, "total_count": len(k.acls)}, nil
}

func (a *API) setACLs(c *call) (any, error) {
	k, err := a.steadyCluster(c.place(), c.values["id"])
	if err != nil {
		return nil, err
	}
	var in struct {
		ACLs []acl `json:"acls"`
	}
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	rules := []acl{}
	for _, rule := range in.ACLs {
		// The region is recorded as empty.
		rule.ID, rule.Region = newID(), ""
		if (rule.IP == "") == (rule.Ranges == nil) {
			return nil, invalidArgument("acls", "constraint", "a rule has either ip or scaleway_ranges")
		}
		if rule.IP != "" {
			if _, err := netip.ParsePrefix(rule.IP); err != nil {
				return nil, invalidArgument("acls", "format", err.Error())
			}
		}
		rules = append(rules, rule)
	}
	k.acls = rules
	a.updating(k)
	return object{"rules": rules}, nil
}
