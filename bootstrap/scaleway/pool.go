package scaleway

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

func poolRow() operations {
	return row[*stack.Pool]{
		kind: stack.KindPool, permission: permissionKubernetes, foundWith: stack.KindCluster,
		create: (*Cloud).createPool, update: (*Cloud).updatePool, delete: (*Cloud).deletePool, check: (*planCheck).pool,
	}.untyped()
}

func (c *Cloud) createPool(ctx context.Context, r *stack.Pool, report func(string)) error {
	created, err := ensure(ctx, c, maker[*stack.Pool]{
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
		remove: c.deletePool,
	})
	if err != nil {
		return err
	}
	created, err = c.awaitPool(ctx, created.ID, report)
	return copyCreated(r, created, err)
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

// findPools returns the stack's pools in a cluster. The cluster itself may not
// belong to the stack.
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
		ResourceMeta: stack.ResourceMeta{ID: pool.ID, Name: pool.Name, CreatedAt: timeOf(pool.CreatedAt)},
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

func (c *Cloud) deletePool(ctx context.Context, r *stack.Pool, report func(string)) error {
	err := c.persist(ctx, report, func(ctx context.Context) error {
		_, err := c.k8s.DeletePool(&k8s.DeletePoolRequest{Region: c.region, PoolID: r.ID}, scw.WithContext(ctx))
		return err
	})
	if err != nil {
		return err
	}
	return awaitGone(ctx, c, report, func(ctx context.Context) (string, error) {
		pool, err := c.k8s.GetPool(&k8s.GetPoolRequest{Region: c.region, PoolID: r.ID}, scw.WithContext(ctx))
		if err != nil {
			return "", err
		}
		return string(pool.Status), nil
	}, "locked")
}

// pool checks that the type of the nodes exists.
func (p *planCheck) pool(ctx context.Context, pool *stack.Pool) error {
	types, err := p.serverTypes(ctx, scw.Zone(pool.Zone))
	if err != nil {
		return err
	}
	for name := range types {
		if stack.NormalNodeType(name) == pool.NodeType {
			return nil
		}
	}
	wanted := strings.ToUpper(strings.ReplaceAll(pool.NodeType, "_", "-"))
	return fmt.Errorf("spec.cluster.pools[%s].nodeType: there is no %s in %s; there are %s",
		pool.Name, wanted, pool.Zone, strings.Join(similar(types, wanted), ", "))
}
