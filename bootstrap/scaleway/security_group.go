package scaleway

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// permissionInstances is the permission set of all kinds of the Instance API.
const permissionInstances = "InstancesFullAccess"

func securityGroupRow() operations {
	return row[*stack.SecurityGroup]{
		kind: stack.KindSecurityGroup, permission: permissionInstances, foundWith: stack.KindServer,
		create: (*Cloud).createSecurityGroup, update: (*Cloud).updateSecurityGroup, delete: (*Cloud).deleteSecurityGroup,
	}.untyped()
}

const sshPort = 22

func (c *Cloud) createSecurityGroup(ctx context.Context, r *stack.SecurityGroup, _ func(string)) error {
	zone := scw.Zone(r.Zone)
	created, err := ensure(ctx, c, maker[*stack.SecurityGroup]{
		find: func(ctx context.Context) ([]*stack.SecurityGroup, error) {
			all, err := c.findSecurityGroups(ctx, zone)
			return slices.DeleteFunc(all, func(g *stack.SecurityGroup) bool { return g.Role != r.Role }), err
		},
		create: func(ctx context.Context) (*stack.SecurityGroup, error) {
			response, err := c.instance.CreateSecurityGroup(&instance.CreateSecurityGroupRequest{
				Zone: zone, Project: &c.project, Name: r.Name, Tags: c.tags(r.Role),
				Stateful:              true,
				InboundDefaultPolicy:  instance.SecurityGroupPolicyDrop,
				OutboundDefaultPolicy: instance.SecurityGroupPolicyAccept,
				EnableDefaultSecurity: new(true),
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newSecurityGroup(zone, response.SecurityGroup), nil
		},
		remove: c.deleteSecurityGroup,
	})
	if err != nil {
		return err
	}
	r.CopyObserved(created)
	return c.setRules(ctx, r)
}

// setRules replaces all rules of a group.
func (c *Cloud) setRules(ctx context.Context, r *stack.SecurityGroup) error {
	zone := scw.Zone(r.Zone)
	rules := make([]*instance.SetSecurityGroupRulesRequestRule, 0, len(r.SSHSources))
	for i, source := range r.SSHSources {
		rules = append(rules, &instance.SetSecurityGroupRulesRequestRule{
			Action: instance.SecurityGroupRuleActionAccept, Protocol: instance.SecurityGroupRuleProtocolTCP,
			Direction: instance.SecurityGroupRuleDirectionInbound, IPRange: ipNet(source),
			DestPortFrom: new(uint32(sshPort)), Position: uint32(i + 1), Editable: new(true), Zone: &zone,
		})
	}
	_, err := c.instance.SetSecurityGroupRules(&instance.SetSecurityGroupRulesRequest{Zone: zone, SecurityGroupID: r.ID, Rules: rules}, scw.WithContext(ctx))
	return err
}

// updateSecurityGroup changes a group, and waits until servers have the change. The API
// accepts the rules while the group is "syncing" from the change before.
func (c *Cloud) updateSecurityGroup(ctx context.Context, r *stack.SecurityGroup, _ []stack.Change, report func(string)) error {
	_, err := c.instance.UpdateSecurityGroup(&instance.UpdateSecurityGroupRequest{
		Zone: scw.Zone(r.Zone), SecurityGroupID: r.ID, Name: &r.Name, Stateful: new(true),
		InboundDefaultPolicy: instance.SecurityGroupPolicyDrop, OutboundDefaultPolicy: instance.SecurityGroupPolicyAccept,
		EnableDefaultSecurity: new(true),
	}, scw.WithContext(ctx))
	if err != nil {
		return err
	}
	if err := c.setRules(ctx, r); err != nil {
		return err
	}
	_, err = await(ctx, c, report, func(ctx context.Context) (struct{}, string, error) {
		response, err := c.instance.GetSecurityGroup(&instance.GetSecurityGroupRequest{Zone: scw.Zone(r.Zone), SecurityGroupID: r.ID}, scw.WithContext(ctx))
		switch {
		case err != nil:
			return struct{}{}, "", err
		case response.SecurityGroup == nil:
			return struct{}{}, "", errIncomplete
		}
		return struct{}{}, response.SecurityGroup.State.String(), nil
	}, []string{instance.SecurityGroupStateAvailable.String()}, []string{instance.SecurityGroupStateSyncingError.String()})
	return err
}

// findSecurityGroups returns the stack's groups in a zone.
func (c *Cloud) findSecurityGroups(ctx context.Context, zone scw.Zone) ([]*stack.SecurityGroup, error) {
	list, err := c.instance.ListSecurityGroups(&instance.ListSecurityGroupsRequest{Zone: zone, Project: &c.project, Tags: c.tags("")},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*stack.SecurityGroup
	for _, g := range list.SecurityGroups {
		if c.owns(g.Project, g.Tags) {
			found = append(found, newSecurityGroup(zone, g))
		}
	}
	return found, nil
}

// newSecurityGroup returns a group without its rules, which take another request.
func newSecurityGroup(zone scw.Zone, g *instance.SecurityGroup) *stack.SecurityGroup {
	if g == nil {
		return &stack.SecurityGroup{}
	}
	group := &stack.SecurityGroup{
		ResourceMeta: stack.ResourceMeta{ID: g.ID, Name: g.Name, CreatedAt: timeOf(g.CreationDate)}, Role: stack.Role(g.Tags), Zone: string(zone),
	}
	if g.InboundDefaultPolicy != instance.SecurityGroupPolicyDrop || g.OutboundDefaultPolicy != instance.SecurityGroupPolicyAccept || !g.Stateful {
		group.Unmanaged = append(group.Unmanaged, fmt.Sprintf("inbound %s, outbound %s, stateful %t", g.InboundDefaultPolicy, g.OutboundDefaultPolicy, g.Stateful))
	}
	return group
}

// readRules adds the rules to a group.
func (c *Cloud) readRules(ctx context.Context, group *stack.SecurityGroup) error {
	list, err := c.instance.ListSecurityGroupRules(&instance.ListSecurityGroupRulesRequest{Zone: scw.Zone(group.Zone), SecurityGroupID: group.ID},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return err
	}
	for _, rule := range list.Rules {
		switch {
		case !rule.Editable: // Scaleway's own rules against spam
		case isSSHRule(rule):
			group.SSHSources = append(group.SSHSources, hostPrefix(rule.IPRange))
		default:
			group.Unmanaged = append(group.Unmanaged, describeRule(rule))
		}
	}
	return nil
}

// describeRule describes a rule that bootstrap did not make.
func describeRule(rule *instance.SecurityGroupRule) string {
	ports := ""
	if rule.DestPortFrom != nil {
		ports = fmt.Sprintf("/%d", *rule.DestPortFrom)
		if rule.DestPortTo != nil {
			ports += fmt.Sprintf("-%d", *rule.DestPortTo)
		}
	}
	return fmt.Sprintf("%s %s %s%s %s", rule.Direction, rule.Action, rule.Protocol, ports, hostPrefix(rule.IPRange))
}

func isSSHRule(rule *instance.SecurityGroupRule) bool {
	return rule.Direction == instance.SecurityGroupRuleDirectionInbound && rule.Action == instance.SecurityGroupRuleActionAccept &&
		rule.Protocol == instance.SecurityGroupRuleProtocolTCP && rule.DestPortFrom != nil && *rule.DestPortFrom == sshPort &&
		(rule.DestPortTo == nil || *rule.DestPortTo == sshPort)
}

// hostPrefix returns the range of a rule. The API's answers contain single hosts
// without a prefix length.
func hostPrefix(n scw.IPNet) netip.Prefix {
	p := prefix(n)
	if len(n.Mask) == 0 {
		return netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
	}
	return p
}

func (c *Cloud) deleteSecurityGroup(ctx context.Context, r *stack.SecurityGroup, report func(string)) error {
	return c.persist(ctx, report, func(ctx context.Context) error {
		return c.instance.DeleteSecurityGroup(&instance.DeleteSecurityGroupRequest{Zone: scw.Zone(r.Zone), SecurityGroupID: r.ID}, scw.WithContext(ctx))
	})
}
