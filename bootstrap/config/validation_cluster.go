package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// namedRange is a range of addresses with the path of the field that sets it.
type namedRange struct {
	prefix netip.Prefix
	path   string
}

// ranges are the cluster's ranges as far as they are known and well-formed.
func (c *ClusterConfig) ranges() []namedRange {
	var ranges []namedRange
	add := func(text, path string) {
		if prefix, problem := parseCIDR(text); problem == "" {
			ranges = append(ranges, namedRange{prefix, path})
		}
	}
	add(c.PodCIDR, "cluster.podCIDR")
	add(c.ServiceCIDR, "cluster.serviceCIDR")
	for i, text := range c.CIDRs {
		add(text, fmt.Sprintf("cluster.cidrs[%d]", i))
	}
	return ranges
}

func (e *Egress) validateCluster(at *field.Path) field.ErrorList {
	c := e.Cluster
	var errs field.ErrorList
	switch {
	case c.ID != "":
		errs = append(errs, validateID(c.ID, at.Child("id"))...)
		errs = append(errs, c.refuse(at, "belongs to clusters that are created, not to an existing one (cluster.id): remove it", "pools")...)
	case len(c.CIDRs) > 0:
		errs = append(errs, c.validateCIDRs(at.Child("cidrs"))...)
		errs = append(errs, c.refuse(at, "belongs to clusters that bootstrap creates or is given, not to one elsewhere (cluster.cidrs): remove it", "cidrs")...)
	default:
		errs = append(errs, c.validateCreated(at)...)
	}
	return append(errs, e.validatePools(at.Child("pools"))...)
}

// refuse refuses all fields that are set, except the ID and one more.
func (c *ClusterConfig) refuse(at *field.Path, reason, except string) field.ErrorList {
	var errs field.ErrorList
	for _, each := range []struct {
		name string
		set  bool
	}{
		{"cidrs", len(c.CIDRs) > 0},
		{"version", c.Version != ""},
		{"cni", c.CNI != ""},
		{"podCIDR", c.PodCIDR != ""},
		{"serviceCIDR", c.ServiceCIDR != ""},
		{"acl", len(c.ACL) > 0},
		{"autoUpgrade", c.AutoUpgrade != nil},
		{"autoscaler", c.Autoscaler != nil},
		{"pools", len(c.Pools) > 0},
	} {
		if each.set && each.name != except {
			errs = append(errs, field.Forbidden(at.Child(each.name), reason))
		}
	}
	return errs
}

// validateCIDRs takes both address families: the chart only tells clients of
// the ranges.
func (c *ClusterConfig) validateCIDRs(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, text := range c.CIDRs {
		prefix, problem := parseCIDR(text)
		switch {
		case problem != "":
			errs = append(errs, field.Invalid(at.Index(i), text, problem))
		case prefix.Bits() == 0:
			errs = append(errs, field.Invalid(at.Index(i), text, "must not be everything: nothing would be left for the proxy"))
		case slices.Contains(c.CIDRs[:i], text):
			errs = append(errs, field.Duplicate(at.Index(i), text))
		}
	}
	return errs
}

func (c *ClusterConfig) validateCreated(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch without := strings.TrimPrefix(c.Version, "v"); {
	case c.Version == "":
		errs = append(errs, field.Required(at.Child("version"),
			"Kubernetes' version, such as \"1.34\"; or set cluster.id for an existing cluster, or cluster.cidrs for one elsewhere"))
	case matches(patternVersion, c.Version):
	case matches(patternVersion, without):
		errs = append(errs, field.Invalid(at.Child("version"), c.Version, "must have no v before it: write \""+without+"\""))
	default:
		errs = append(errs, field.Invalid(at.Child("version"), c.Version, "must be a version of Kubernetes, such as \"1.34.1\", or \"1.34\" for its newest patch"))
	}
	errs = append(errs, validateOneOf(c.CNI, at.Child("cni"), "cilium", "cilium_native", "calico", "none")...)
	errs = append(errs, c.validateRanges(at)...)
	errs = append(errs, validateCIDRs(c.ACL, at.Child("acl"), func(netip.Prefix) string { return "" })...)
	if c.AutoUpgrade != nil {
		errs = append(errs, c.AutoUpgrade.validate(at.Child("autoUpgrade"))...)
	}
	if c.Autoscaler != nil {
		errs = append(errs, c.Autoscaler.validate(at.Child("autoscaler"))...)
	}
	switch {
	case len(c.Pools) == 0:
		errs = append(errs, field.Required(at.Child("pools"), "at least one, for the cluster's own pods"))
	case !slices.ContainsFunc(c.Pools, PoolConfig.isOpen):
		errs = append(errs, field.Invalid(at.Child("pools"), len(c.Pools),
			"must have one without tenant and without taints NoSchedule and NoExecute: the cluster's own pods (DNS, for example) and the webhook run there"))
	}
	return errs
}

// isOpen says whether pods without tolerations find a place in the pool.
func (p PoolConfig) isOpen() bool {
	return p.Tenant == "" && !slices.ContainsFunc(p.Taints, func(t TaintConfig) bool { return t.Effect != "PreferNoSchedule" })
}

func (c *ClusterConfig) validateRanges(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	parsed := map[string]netip.Prefix{}
	for _, each := range []struct{ name, text string }{{"podCIDR", c.PodCIDR}, {"serviceCIDR", c.ServiceCIDR}} {
		prefix, problem := parseIPv4CIDR(each.text)
		if problem == "" && !isPrivate(prefix) && !covers(netip.MustParsePrefix("100.64.0.0/10"), prefix) {
			problem = "must be private: in 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12 or 192.168.0.0/16"
		}
		if problem != "" {
			errs = append(errs, field.Invalid(at.Child(each.name), each.text, problem))
			continue
		}
		parsed[each.name] = prefix
	}
	if pods := parsed["podCIDR"]; len(parsed) == 2 && pods.Overlaps(parsed["serviceCIDR"]) {
		errs = append(errs, field.Invalid(at.Child("serviceCIDR"), c.ServiceCIDR, "must not overlap with "+pods.String()+", cluster.podCIDR"))
	}
	return errs
}

func (a *AutoUpgradeConfig) validate(at *field.Path) field.ErrorList {
	errs := validateOneOf(a.Day, at.Child("day"), "any", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
	if a.StartHour < 0 || a.StartHour > 23 {
		errs = append(errs, field.Invalid(at.Child("startHour"), a.StartHour, "must be between 0 and 23"))
	}
	return errs
}

func (a *AutoscalerConfig) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if a.Expander != "" {
		errs = append(errs, validateOneOf(a.Expander, at.Child("expander"), "random", "most_pods", "least_waste", "priority", "price")...)
	}
	for _, each := range []struct{ name, text string }{
		{"scaleDownDelayAfterAdd", a.ScaleDownDelayAfterAdd},
		{"scaleDownUnneededTime", a.ScaleDownUnneededTime},
	} {
		if each.text == "" {
			continue
		}
		if duration, err := time.ParseDuration(each.text); err != nil || duration < 0 {
			errs = append(errs, field.Invalid(at.Child(each.name), each.text, "must be a duration such as 10m or 1h30m"))
		}
	}
	return errs
}

func (e *Egress) validatePools(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	tenants := make([]string, 0, len(e.Tenants))
	for _, tenant := range e.Tenants {
		tenants = append(tenants, tenant.Name)
	}
	for i := range e.Cluster.Pools {
		pool, at := &e.Cluster.Pools[i], at.Index(i)
		errs = append(errs, validateLabel(pool.Name, at.Child("name"))...)
		if names[pool.Name] && pool.Name != "" {
			errs = append(errs, field.Duplicate(at.Child("name"), pool.Name))
		}
		names[pool.Name] = true
		if pool.Tenant != "" && !slices.Contains(tenants, pool.Tenant) {
			errs = append(errs, field.Invalid(at.Child("tenant"), pool.Tenant, "must be the name of one of tenants"))
		}
		if pool.Zone != e.Zone {
			errs = append(errs, e.validateZone(pool.Zone, at.Child("zone"))...)
		}
		errs = append(errs, pool.validate(at)...)
	}
	return errs
}

// minPoolVolumeGB is what Scaleway asks of a node's boot volume.
const minPoolVolumeGB = 20

func (p *PoolConfig) validate(at *field.Path) field.ErrorList {
	errs := validateType(p.NodeType, at.Child("nodeType"))
	errs = append(errs, p.validateSize(at)...)
	if p.VolumeGB < minPoolVolumeGB {
		errs = append(errs, field.Invalid(at.Child("volumeGB"), p.VolumeGB, fmt.Sprintf("must be at least %d", minPoolVolumeGB)))
	}
	for _, key := range slices.Sorted(maps.Keys(p.Labels)) {
		at := at.Child("labels").Key(key)
		errs = append(errs, validateLabelKey(key, at)...)
		errs = append(errs, problemsOf(p.Labels[key], validation.IsValidLabelValue(p.Labels[key]), at)...)
	}
	seen := map[TaintConfig]bool{}
	for i, taint := range p.Taints {
		at := at.Child("taints").Index(i)
		errs = append(errs, taint.validate(at)...)
		// Kubernetes tells taints by key and effect.
		if identity := (TaintConfig{Key: taint.Key, Effect: taint.Effect}); seen[identity] {
			errs = append(errs, field.Duplicate(at, taint.Key+":"+taint.Effect))
		} else {
			seen[identity] = true
		}
	}
	return errs
}

func (p *PoolConfig) validateSize(at *field.Path) field.ErrorList {
	a := p.Autoscaling
	switch {
	case a == nil && p.Size < 1:
		return field.ErrorList{field.Invalid(at.Child("size"), p.Size, "must be at least 1")}
	case a == nil:
		return nil
	case a.Min < 0:
		return field.ErrorList{field.Invalid(at.Child("autoscaling", "min"), a.Min, "must be at least 0")}
	case a.Max < max(a.Min, 1):
		return field.ErrorList{field.Invalid(at.Child("autoscaling", "max"), a.Max, "must be at least 1, and at least min")}
	case p.Size < a.Min || p.Size > a.Max:
		return field.ErrorList{field.Invalid(at.Child("size"), p.Size, fmt.Sprintf("must be between autoscaling's min and max, %d and %d", a.Min, a.Max))}
	}
	return nil
}

func (t *TaintConfig) validate(at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Key == "" {
		errs = append(errs, field.Required(at.Child("key"), "a taint's key, such as example.com/dedicated"))
	} else {
		errs = append(errs, validateLabelKey(t.Key, at.Child("key"))...)
	}
	errs = append(errs, problemsOf(t.Value, validation.IsValidLabelValue(t.Value), at.Child("value"))...)
	return append(errs, validateOneOf(t.Effect, at.Child("effect"), "NoSchedule", "PreferNoSchedule", "NoExecute")...)
}
