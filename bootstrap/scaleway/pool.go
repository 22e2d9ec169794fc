package scaleway

import (
	"context"
	"errors"
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
	if _, err := c.awaitCluster(ctx, r.Cluster.ID, report); err != nil {
		return err
	}
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
	pool, err := await(ctx, c, report, func(ctx context.Context) (*k8s.Pool, string, error) {
		pool, err := c.k8s.GetPool(&k8s.GetPoolRequest{Region: c.region, PoolID: id}, scw.WithContext(ctx))
		if err != nil {
			return nil, "", err
		}
		return pool, string(pool.Status), nil
	}, []string{statusReady}, []string{string(k8s.PoolStatusWarning), "locked", "deleting", "deleted"})
	if _, ok := errors.AsType[*lastingError](err); ok {
		return nil, c.explainPool(ctx, err, pool)
	}
	if err != nil {
		return nil, err
	}
	return newPool(pool), nil
}

// explainPool adds the messages of a pool and of its nodes to the error about its
// state.
func (c *Cloud) explainPool(ctx context.Context, lasting error, pool *k8s.Pool) error {
	var messages []string
	if pool.ErrorMessage != nil && *pool.ErrorMessage != "" {
		messages = append(messages, *pool.ErrorMessage)
	}
	list, err := c.k8s.ListNodes(&k8s.ListNodesRequest{Region: c.region, ClusterID: pool.ClusterID, PoolID: &pool.ID},
		scw.WithContext(ctx), scw.WithAllPages())
	if err == nil { // the messages of the nodes only add to the error
		messages = append(messages, nodeProblems(list.Nodes)...)
	}
	if len(messages) == 0 {
		return lasting
	}
	return fmt.Errorf("%w: %s. When the cause is removed (often a quota, or a type that is sold out), run this again", lasting, strings.Join(messages, "; "))
}

// nodeProblems describes the nodes that are in error. It names one node for each
// message, because a pool can have hundreds of them.
func nodeProblems(nodes []*k8s.Node) []string {
	var problems []string
	seen := map[string]bool{}
	for _, node := range nodes {
		message := string(node.Status)
		if node.ErrorMessage != nil && *node.ErrorMessage != "" {
			message += ", " + *node.ErrorMessage
		} else if node.Status != k8s.NodeStatusCreationError {
			continue
		}
		if !seen[message] {
			problems = append(problems, fmt.Sprintf("node %s: %s", node.Name, message))
		}
		seen[message] = true
	}
	return problems
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
	if _, err := c.awaitCluster(ctx, r.Cluster.ID, report); err != nil {
		return err
	}
	// A pool accepts each change while it is "scaling" from the one before.
	if changed(changes, "labels") {
		err := c.persist(ctx, report, func(ctx context.Context) error {
			_, err := c.k8s.SetPoolLabels(&k8s.SetPoolLabelsRequest{Region: c.region, PoolID: r.ID, Labels: r.Labels}, scw.WithContext(ctx))
			return err
		})
		if err != nil {
			return err
		}
	}
	if changed(changes, "taints") {
		err := c.persist(ctx, report, func(ctx context.Context) error {
			_, err := c.k8s.SetPoolTaints(&k8s.SetPoolTaintsRequest{Region: c.region, PoolID: r.ID, Taints: taints(r.Taints)}, scw.WithContext(ctx))
			return err
		})
		if err != nil {
			return err
		}
	}
	if changed(changes, "autohealing", "autoscaling", "size") {
		request := resizeRequest(c, r)
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

// resizeRequest changes the number of nodes. A pool of a fixed size gets the bounds
// that the API gives a new pool of that size, so that none of them refuses the size.
func resizeRequest(c *Cloud, r *stack.Pool) *k8s.UpdatePoolRequest {
	request := &k8s.UpdatePoolRequest{Region: c.region, PoolID: r.ID, Autohealing: &r.Autohealing, Autoscaling: new(r.Autoscaling())}
	if r.Autoscaling() {
		request.MinSize, request.MaxSize = new(uint32(r.Min)), new(uint32(r.Max)) //nolint:gosec // validated: not negative
	} else {
		size := uint32(r.Size) //nolint:gosec // validated: not negative
		request.Size, request.MinSize, request.MaxSize = &size, new(uint32(0)), &size
	}
	return request
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
