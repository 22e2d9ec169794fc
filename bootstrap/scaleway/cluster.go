package scaleway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	sdkerrors "github.com/scaleway/scaleway-sdk-go/errors"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func clusterRow() operations {
	return row[*stack.Cluster]{
		kind: stack.KindCluster, permission: permissionKubernetes, observe: (*observation).clusters,
		create: (*Cloud).createCluster, update: (*Cloud).updateCluster, delete: (*Cloud).deleteCluster, check: (*planCheck).cluster,
	}.untyped()
}

// permissionKubernetes is the permission set of all kinds of the Kubernetes API.
const permissionKubernetes = "KubernetesFullAccess"

// clusters adds the clusters with their pools.
func (o *observation) clusters(ctx context.Context) error {
	clusters, err := o.cloud.findClusters(ctx)
	if err != nil {
		return err
	}
	clusters, err = complete(clusters, func(cluster *stack.Cluster) error {
		if cluster.Deleting {
			return nil
		}
		return o.cloud.readACL(ctx, cluster)
	})
	if err != nil {
		return err
	}
	if o.spec.Cluster != nil && o.spec.Cluster.ID != "" {
		existing, err := o.cloud.getCluster(ctx, o.spec.Cluster.ID)
		switch {
		case isNotFound(err):
			o.miss(fmt.Errorf("spec.cluster.id: there is no cluster %s in %s, or the API key may not see it", o.spec.Cluster.ID, o.cloud.region))
		case err != nil:
			return err
		default:
			cluster := newCluster(existing)
			cluster.Existing = true
			clusters = append(slices.DeleteFunc(clusters, func(c *stack.Cluster) bool { return c.ID == cluster.ID }), cluster)
		}
	}
	clusters, err = complete(clusters, func(cluster *stack.Cluster) error {
		pools, err := o.cloud.findPools(ctx, cluster.ID)
		addAll(o, pools)
		return err
	})
	addAll(o, clusters)
	return err
}

func (c *Cloud) createCluster(ctx context.Context, r *stack.Cluster, report func(string)) error {
	created, err := ensure(ctx, c, maker[*stack.Cluster]{
		find: c.findClusters,
		create: func(ctx context.Context) (*stack.Cluster, error) {
			version, err := c.kubernetesVersion(ctx, r)
			if err != nil {
				return nil, err
			}
			cluster, err := c.k8s.CreateCluster(newClusterRequest(c, r, version), scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newCluster(cluster), nil
		},
		remove: c.deleteCluster,
	})
	if err != nil {
		return err
	}
	created, err = c.awaitCluster(ctx, created.ID, report)
	if err != nil {
		return err
	}
	r.CopyObserved(created)
	return c.setACL(ctx, r, report)
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

// cluster checks that a cluster of the version can be created.
func (p *planCheck) cluster(ctx context.Context, cluster *stack.Cluster) error {
	_, err := p.cloud.kubernetesVersion(ctx, cluster)
	return err
}

// changeCluster changes a cluster, between two waits: after a change, the API refuses
// the next one as long as the cluster is "updating".
func (c *Cloud) changeCluster(ctx context.Context, id string, report func(string), change func(context.Context) error) error {
	if _, err := c.awaitCluster(ctx, id, report); err != nil {
		return err
	}
	if err := c.persist(ctx, report, change); err != nil {
		return err
	}
	_, err := c.awaitCluster(ctx, id, report)
	return err
}

// awaitCluster waits until the cluster accepts changes and pools. It needs pools to
// become ready.
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

// newCluster returns a cluster without its ACL, which takes another request.
func newCluster(cluster *k8s.Cluster) *stack.Cluster {
	result := &stack.Cluster{
		ResourceMeta: stack.ResourceMeta{ID: cluster.ID, Name: cluster.Name, CreatedAt: timeOf(cluster.CreatedAt)},
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

func (c *Cloud) updateCluster(ctx context.Context, r *stack.Cluster, changes []stack.Change, report func(string)) error {
	if changed(changes, "acl") {
		if err := c.setACL(ctx, r, report); err != nil {
			return err
		}
	}
	if changed(changes, "name", "auto upgrade", "expander", "scale down disabled", "scale down delay after add", "scale down unneeded time") {
		return c.changeCluster(ctx, r.ID, report, func(ctx context.Context) error {
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
	}
	_, err := c.awaitCluster(ctx, r.ID, report)
	return err
}

func (c *Cloud) deleteCluster(ctx context.Context, r *stack.Cluster, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		// The "additional resources" could include a network that is also used by
		// other resources.
		_, err := c.k8s.DeleteCluster(&k8s.DeleteClusterRequest{Region: c.region, ClusterID: r.ID, WithAdditionalResources: false}, scw.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		cluster, err := c.getCluster(ctx, r.ID)
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
		// The SDK parses the kubeconfig, and the parser's errors quote its input,
		// which may be a secret.
		if sdk, ok := err.(*sdkerrors.Error); ok && sdk.Str != "error getting cluster kubeconfig" { //nolint:errorlint // the outermost says which step failed
			return nil, errors.New("invalid kubeconfig from Scaleway for the cluster")
		}
		return nil, c.explain(ctx, err, cluster)
	}
	return kubeconfig.GetRaw(), nil
}
