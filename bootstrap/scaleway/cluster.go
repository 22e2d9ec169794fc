package scaleway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	sdkerrors "github.com/scaleway/scaleway-sdk-go/errors"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func (c *Cloud) createCluster(ctx context.Context, r *stack.Cluster, report func(string)) error {
	made, err := ensure(ctx, c, maker[*stack.Cluster]{
		find: c.findClusters,
		create: func(ctx context.Context) (*stack.Cluster, error) {
			version, err := c.kubernetesVersion(ctx, r.Version)
			if err != nil {
				return nil, err
			}
			cluster, err := c.k8s.CreateCluster(newClusterRequest(c, r, version), scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newCluster(cluster), nil
		},
		remove: func(ctx context.Context, cluster *stack.Cluster) error {
			return c.deleteCluster(ctx, cluster.ID, silent)
		},
	})
	if err != nil {
		return err
	}
	made, err = c.awaitCluster(ctx, made.ID, report)
	if err != nil {
		return err
	}
	r.CopyObserved(made)
	return c.setACL(ctx, r)
}

func newClusterRequest(c *Cloud, r *stack.Cluster, version string) *k8s.CreateClusterRequest {
	request := &k8s.CreateClusterRequest{
		Region: c.region, ProjectID: &c.project, Name: r.Name, Tags: c.tags(""), Version: version, Cni: k8s.CNI(r.CNI),
		PrivateNetworkID: &r.Network.ID, PodCidr: new(ipNet(r.PodCIDR)), ServiceCidr: new(ipNet(r.ServiceCIDR)),
		AutoscalerConfig: &k8s.CreateClusterRequestAutoscalerConfig{
			Estimator: k8s.AutoscalerEstimatorBinpacking, Expander: k8s.AutoscalerExpander(r.Autoscaler.Expander),
			ScaleDownDisabled:      &r.Autoscaler.ScaleDownDisabled,
			ScaleDownDelayAfterAdd: &r.Autoscaler.ScaleDownDelayAfterAdd,
			ScaleDownUnneededTime:  &r.Autoscaler.ScaleDownUnneededTime,
		},
	}
	if r.AutoUpgrade.Day != "" {
		request.AutoUpgrade = &k8s.CreateClusterRequestAutoUpgrade{Enable: true, MaintenanceWindow: window(r.AutoUpgrade)}
	}
	return request
}

func window(u stack.AutoUpgrade) *k8s.MaintenanceWindow {
	return &k8s.MaintenanceWindow{Day: k8s.MaintenanceWindowDayOfTheWeek(u.Day), StartHour: uint32(u.StartHour)} //nolint:gosec // validated: 0 to 23
}

// kubernetesVersion is the version itself, or the newest patch of a minor
// version.
func (c *Cloud) kubernetesVersion(ctx context.Context, wanted string) (string, error) {
	list, err := c.k8s.ListVersions(&k8s.ListVersionsRequest{Region: c.region}, scw.WithContext(ctx))
	if err != nil {
		return "", err
	}
	names := make([]string, 0, len(list.Versions)) // newest first
	for _, version := range list.Versions {
		if version.Name == wanted || strings.HasPrefix(version.Name, wanted+".") {
			return version.Name, nil
		}
		names = append(names, version.Name)
	}
	return "", fmt.Errorf("cluster.version: there is no Kubernetes %s in %s: there are %s", wanted, c.region, strings.Join(names, ", "))
}

// awaitCluster waits until the cluster takes pools, which it needs to become
// ready.
func (c *Cloud) awaitCluster(ctx context.Context, id string, report func(string)) (*stack.Cluster, error) {
	return await(ctx, c, report, func(ctx context.Context) (*stack.Cluster, string, error) {
		cluster, err := c.getCluster(ctx, id)
		if err != nil {
			return nil, "", err
		}
		return newCluster(cluster), newCluster(cluster).Status, nil
	}, []string{statusReady}, []string{"locked", "deleting", "deleted"})
}

func (c *Cloud) getCluster(ctx context.Context, id string) (*k8s.Cluster, error) {
	return c.k8s.GetCluster(&k8s.GetClusterRequest{Region: c.region, ClusterID: id}, scw.WithContext(ctx))
}

func (c *Cloud) findClusters(ctx context.Context) ([]*stack.Cluster, error) {
	// There is no filter for tags.
	name := stack.ResourceName(c.name)
	list, err := c.k8s.ListClusters(&k8s.ListClustersRequest{Region: c.region, ProjectID: &c.project, Name: &name}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*stack.Cluster
	for _, cluster := range list.Clusters {
		if c.owns(cluster.ProjectID, cluster.Tags) {
			found = append(found, newCluster(cluster))
		}
	}
	return found, nil
}

// newCluster is a cluster without its ACL, which a call of its own reads.
func newCluster(cluster *k8s.Cluster) *stack.Cluster {
	result := &stack.Cluster{
		ResourceMeta: stack.ResourceMeta{ID: cluster.ID, Name: cluster.Name, CreatedAt: when(cluster.CreatedAt)},
		Network:      &stack.PrivateNetwork{}, Version: cluster.Version, CNI: string(cluster.Cni),
		PodCIDR: prefix(cluster.PodCidr), ServiceCIDR: prefix(cluster.ServiceCidr), Status: string(cluster.Status),
	}
	if cluster.PrivateNetworkID != nil {
		result.Network.ID = *cluster.PrivateNetworkID
	}
	result.Deleting = cluster.Status == k8s.ClusterStatusDeleting || cluster.Status == k8s.ClusterStatusDeleted
	if cluster.Status == k8s.ClusterStatusPoolRequired {
		result.Status = statusReady
	}
	if u := cluster.AutoUpgrade; u != nil && u.Enabled && u.MaintenanceWindow != nil {
		result.AutoUpgrade = stack.AutoUpgrade{Day: string(u.MaintenanceWindow.Day), StartHour: int32(u.MaintenanceWindow.StartHour)} //nolint:gosec // an hour
	}
	if a := cluster.AutoscalerConfig; a != nil {
		result.Autoscaler = stack.Autoscaler{
			Expander: string(a.Expander), ScaleDownDisabled: a.ScaleDownDisabled,
			ScaleDownDelayAfterAdd: a.ScaleDownDelayAfterAdd, ScaleDownUnneededTime: a.ScaleDownUnneededTime,
		}
	}
	return result
}

// readACL completes a cluster with its access control list.
func (c *Cloud) readACL(ctx context.Context, cluster *stack.Cluster) error {
	list, err := c.k8s.ListClusterACLRules(&k8s.ListClusterACLRulesRequest{Region: c.region, ClusterID: cluster.ID}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return err
	}
	for _, rule := range list.Rules {
		if rule.IP != nil {
			cluster.ACL = append(cluster.ACL, prefix(*rule.IP))
		}
	}
	return nil
}

// setACL replaces the access control list.
func (c *Cloud) setACL(ctx context.Context, r *stack.Cluster) error {
	if len(r.ACL) == 0 {
		return nil
	}
	request := &k8s.SetClusterACLRulesRequest{Region: c.region, ClusterID: r.ID}
	for _, source := range r.ACL {
		request.ACLs = append(request.ACLs, &k8s.ACLRuleRequest{IP: new(ipNet(source)), Description: stack.OwnerTag(c.name)})
	}
	_, err := c.k8s.SetClusterACLRules(request, scw.WithContext(ctx))
	return err
}

func (c *Cloud) updateCluster(ctx context.Context, r *stack.Cluster, changes []stack.Change, report func(string)) error {
	if changed(changes, "acl") {
		if err := c.setACL(ctx, r); err != nil {
			return err
		}
	}
	if changed(changes, "name", "auto upgrade", "expander", "scale down disabled", "scale down delay after add", "scale down unneeded time") {
		err := c.persist(ctx, report, func(ctx context.Context) error {
			request := &k8s.UpdateClusterRequest{
				Region: c.region, ClusterID: r.ID, Name: &r.Name,
				AutoscalerConfig: &k8s.UpdateClusterRequestAutoscalerConfig{
					Estimator: k8s.AutoscalerEstimatorBinpacking, Expander: k8s.AutoscalerExpander(r.Autoscaler.Expander),
					ScaleDownDisabled:      &r.Autoscaler.ScaleDownDisabled,
					ScaleDownDelayAfterAdd: &r.Autoscaler.ScaleDownDelayAfterAdd,
					ScaleDownUnneededTime:  &r.Autoscaler.ScaleDownUnneededTime,
				},
				AutoUpgrade: &k8s.UpdateClusterRequestAutoUpgrade{Enable: new(r.AutoUpgrade.Day != "")},
			}
			if r.AutoUpgrade.Day != "" {
				request.AutoUpgrade.MaintenanceWindow = window(r.AutoUpgrade)
			}
			_, err := c.k8s.UpdateCluster(request, scw.WithContext(ctx))
			return err
		})
		if err != nil {
			return err
		}
	}
	_, err := c.awaitCluster(ctx, r.ID, report)
	return err
}

func (c *Cloud) deleteCluster(ctx context.Context, id string, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		// Its "additional resources" could be a network that others are in.
		_, err := c.k8s.DeleteCluster(&k8s.DeleteClusterRequest{Region: c.region, ClusterID: id, WithAdditionalResources: false}, scw.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		cluster, err := c.getCluster(ctx, id)
		if err != nil {
			return "", err
		}
		return string(cluster.Status), nil
	}, "locked")
}

// Kubeconfig implements stack.Cloud.
func (c *Cloud) Kubeconfig(ctx context.Context, cluster *stack.Cluster) ([]byte, error) {
	kubeconfig, err := c.k8s.GetClusterKubeConfig(&k8s.GetClusterKubeConfigRequest{Region: c.region, ClusterID: cluster.ID}, scw.WithContext(ctx))
	if err != nil {
		// The SDK parses what it got, and its parser quotes what it stumbles
		// over, which may be a secret.
		if sdk, ok := err.(*sdkerrors.Error); ok && sdk.Str != "error getting cluster kubeconfig" { //nolint:errorlint // the outermost says which step failed
			return nil, errors.New("what Scaleway returned as the cluster's kubeconfig is none")
		}
		return nil, c.explain(ctx, err, cluster)
	}
	return kubeconfig.GetRaw(), nil
}

func (c *Cloud) createPool(ctx context.Context, r *stack.Pool, report func(string)) error {
	made, err := ensure(ctx, c, maker[*stack.Pool]{
		find: func(ctx context.Context) ([]*stack.Pool, error) {
			all, err := c.findPools(ctx, r.Cluster.ID)
			return slices.DeleteFunc(all, func(p *stack.Pool) bool { return p.Name != r.Name }), err
		},
		create: func(ctx context.Context) (*stack.Pool, error) {
			pool, err := c.k8s.CreatePool(newPoolRequest(c, r), scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newPool(pool), nil
		},
		remove: func(ctx context.Context, p *stack.Pool) error { return c.deletePool(ctx, p.ID, silent) },
	})
	if err != nil {
		return err
	}
	made, err = c.awaitPool(ctx, made.ID, report)
	return adopt(r, made, err)
}

func newPoolRequest(c *Cloud, r *stack.Pool) *k8s.CreatePoolRequest {
	request := &k8s.CreatePoolRequest{
		Region: c.region, ClusterID: r.Cluster.ID, Name: r.Name, NodeType: r.NodeType, Tags: c.tags(""), Zone: scw.Zone(r.Zone),
		Size: uint32(r.Size), Autoscaling: r.Autoscaling(), Autohealing: r.Autohealing, //nolint:gosec // validated: not negative
		ContainerRuntime: k8s.RuntimeContainerd, PublicIPDisabled: true,
		RootVolumeType: k8s.PoolVolumeTypeSbs5k, RootVolumeSize: size(r.VolumeGB),
		Labels: r.Labels, Taints: taints(r.Taints),
	}
	if r.Autoscaling() {
		request.MinSize, request.MaxSize = new(uint32(r.Min)), new(uint32(r.Max)) //nolint:gosec // validated: not negative
	}
	return request
}

func taints(wanted []stack.Taint) []*k8s.CoreV1Taint {
	result := make([]*k8s.CoreV1Taint, 0, len(wanted))
	for _, t := range wanted {
		result = append(result, &k8s.CoreV1Taint{Key: t.Key, Value: t.Value, Effect: k8s.CoreV1TaintEffect(t.Effect)})
	}
	return result
}

func (c *Cloud) awaitPool(ctx context.Context, id string, report func(string)) (*stack.Pool, error) {
	return await(ctx, c, report, func(ctx context.Context) (*stack.Pool, string, error) {
		pool, err := c.k8s.GetPool(&k8s.GetPoolRequest{Region: c.region, PoolID: id}, scw.WithContext(ctx))
		if err != nil {
			return nil, "", err
		}
		return newPool(pool), string(pool.Status), nil
	}, []string{statusReady}, []string{"locked", "deleting", "deleted"})
}

// findPools returns the set-up's pools in a cluster, which may be somebody
// else's.
func (c *Cloud) findPools(ctx context.Context, cluster string) ([]*stack.Pool, error) {
	list, err := c.k8s.ListPools(&k8s.ListPoolsRequest{Region: c.region, ClusterID: cluster}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*stack.Pool
	for _, pool := range list.Pools {
		if c.owns(c.project, pool.Tags) {
			found = append(found, newPool(pool))
		}
	}
	return found, nil
}

func newPool(pool *k8s.Pool) *stack.Pool {
	result := &stack.Pool{
		ResourceMeta: stack.ResourceMeta{ID: pool.ID, Name: pool.Name, CreatedAt: when(pool.CreatedAt)},
		Cluster:      &stack.Cluster{ResourceMeta: stack.ResourceMeta{ID: pool.ClusterID}}, NodeType: pool.NodeType, Zone: string(pool.Zone),
		Size: int32(pool.Size), Autohealing: pool.Autohealing, Labels: pool.Labels, Status: string(pool.Status), //nolint:gosec // at most some hundred nodes
	}
	result.Deleting = pool.Status == k8s.PoolStatusDeleting || pool.Status == k8s.PoolStatusDeleted
	if pool.RootVolumeSize != nil {
		result.VolumeGB = int32(*pool.RootVolumeSize / scw.GB) //nolint:gosec // at most some thousand GB
	}
	if pool.Autoscaling {
		result.Min, result.Max = int32(pool.MinSize), int32(pool.MaxSize) //nolint:gosec // at most some hundred nodes
	}
	for _, t := range pool.Taints {
		result.Taints = append(result.Taints, stack.Taint{Key: t.Key, Value: t.Value, Effect: string(t.Effect)})
	}
	return result
}

func (c *Cloud) updatePool(ctx context.Context, r *stack.Pool, changes []stack.Change, report func(string)) error {
	if changed(changes, "labels") {
		if _, err := c.k8s.SetPoolLabels(&k8s.SetPoolLabelsRequest{Region: c.region, PoolID: r.ID, Labels: r.Labels}, scw.WithContext(ctx)); err != nil {
			return err
		}
	}
	if changed(changes, "taints") {
		if _, err := c.k8s.SetPoolTaints(&k8s.SetPoolTaintsRequest{Region: c.region, PoolID: r.ID, Taints: taints(r.Taints)}, scw.WithContext(ctx)); err != nil {
			return err
		}
	}
	if changed(changes, "autohealing", "autoscaling", "size") {
		request := &k8s.UpdatePoolRequest{Region: c.region, PoolID: r.ID, Autohealing: &r.Autohealing, Autoscaling: new(r.Autoscaling())}
		if r.Autoscaling() {
			request.MinSize, request.MaxSize = new(uint32(r.Min)), new(uint32(r.Max)) //nolint:gosec // validated: not negative
		} else {
			request.Size = new(uint32(r.Size)) //nolint:gosec // validated: not negative
		}
		err := c.persist(ctx, report, func(ctx context.Context) error {
			_, err := c.k8s.UpdatePool(request, scw.WithContext(ctx))
			return err
		})
		if err != nil {
			return err
		}
	}
	_, err := c.awaitPool(ctx, r.ID, report)
	return err
}

func (c *Cloud) deletePool(ctx context.Context, id string, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		_, err := c.k8s.DeletePool(&k8s.DeletePoolRequest{Region: c.region, PoolID: id}, scw.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		pool, err := c.k8s.GetPool(&k8s.GetPoolRequest{Region: c.region, PoolID: id}, scw.WithContext(ctx))
		if err != nil {
			return "", err
		}
		return string(pool.Status), nil
	}, "locked")
}
