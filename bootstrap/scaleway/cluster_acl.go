package scaleway

import (
	"context"

	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// readACL adds the access control list to a cluster.
func (c *Cloud) readACL(ctx context.Context, cluster *stack.Cluster) error {
	list, err := c.k8s.ListClusterACLRules(&k8s.ListClusterACLRulesRequest{Region: c.region, ClusterID: cluster.ID}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return err
	}
	for _, rule := range list.Rules {
		if rule.IP != nil {
			cluster.ACL = append(cluster.ACL, prefix(*rule.IP))
		}
		if rule.ScalewayRanges != nil && *rule.ScalewayRanges {
			cluster.ScalewayRanges = true
		}
	}
	return nil
}

// setACL replaces the access control list.
func (c *Cloud) setACL(ctx context.Context, r *stack.Cluster, report func(string)) error {
	if len(r.ACL) == 0 {
		return nil
	}
	request := &k8s.SetClusterACLRulesRequest{Region: c.region, ClusterID: r.ID}
	for _, source := range r.ACL {
		request.ACLs = append(request.ACLs, &k8s.ACLRuleRequest{IP: new(ipNet(source)), Description: stack.OwnerTag(c.name)})
	}
	return c.changeCluster(ctx, r.ID, report, func(ctx context.Context) error {
		_, err := c.k8s.SetClusterACLRules(request, scw.WithContext(ctx))
		return err
	})
}
