package stack

import (
	"maps"

	"egress.scw/bootstrap/config"
	"egress.scw/webhook/api/names"
)

// Spec is the stack to provision: the content of a valid egress.yaml with its
// defaults.
type Spec struct {
	// Name is the name of the stack.
	Name string

	config.Spec
}

// NewSpec returns the stack of a valid configuration whose defaults are set. The
// project is the one of the credentials, for configurations without a project.
func NewSpec(egress *config.Egress, project string) Spec {
	spec := Spec{Name: egress.Metadata.Name, Spec: egress.Spec}
	if spec.Project == "" {
		spec.Project = project
	}
	return spec
}

// newPool returns the pool of a configuration. A pool of a tenant gets the label
// and the taint of the tenant.
func newPool(pool config.Pool, cluster *Cluster) *Pool {
	result := &Pool{
		ResourceMeta: ResourceMeta{Name: pool.Name}, Cluster: cluster, NodeType: NormalNodeType(pool.NodeType), Zone: pool.Zone, VolumeGB: pool.VolumeGB,
		Size: pool.Size, Autohealing: *pool.Autohealing, Labels: map[string]string{}, Status: stateReady,
	}
	if pool.Autoscaling != nil {
		result.Min, result.Max = pool.Autoscaling.Min, pool.Autoscaling.Max
	}
	maps.Copy(result.Labels, pool.Labels)
	for _, taint := range pool.Taints {
		result.Taints = append(result.Taints, Taint(taint))
	}
	if pool.Tenant != "" {
		result.Labels[names.LabelTenant] = pool.Tenant
		result.Taints = append(result.Taints, Taint{names.LabelTenant, pool.Tenant, "NoSchedule"})
	}
	return result
}
