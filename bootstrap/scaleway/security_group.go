package scaleway

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

const sshPort = 22

func (c *Cloud) createSecurityGroup(ctx context.Context, r *stack.SecurityGroup) error {
	made, err := ensure(ctx, c, maker[*stack.SecurityGroup]{
		find: c.findSecurityGroups,
		create: func(ctx context.Context) (*stack.SecurityGroup, error) {
			response, err := c.instance.CreateSecurityGroup(&instance.CreateSecurityGroupRequest{
				Zone: c.zone, Project: &c.project, Name: r.Name, Tags: c.tags(""),
				Stateful:              true,
				InboundDefaultPolicy:  instance.SecurityGroupPolicyDrop,
				OutboundDefaultPolicy: instance.SecurityGroupPolicyAccept,
				EnableDefaultSecurity: new(true),
			}, scw.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return newSecurityGroup(response.SecurityGroup), nil
		},
		remove: func(ctx context.Context, g *stack.SecurityGroup) error {
			return c.deleteSecurityGroup(ctx, g.ID, silent)
		},
	})
	if err != nil {
		return err
	}
	r.CopyObserved(made)
	return c.setRules(ctx, r)
}

// setRules replaces all rules of a group.
func (c *Cloud) setRules(ctx context.Context, r *stack.SecurityGroup) error {
	rules := make([]*instance.SetSecurityGroupRulesRequestRule, 0, len(r.SSHSources))
	for i, source := range r.SSHSources {
		rules = append(rules, &instance.SetSecurityGroupRulesRequestRule{
			Action: instance.SecurityGroupRuleActionAccept, Protocol: instance.SecurityGroupRuleProtocolTCP,
			Direction: instance.SecurityGroupRuleDirectionInbound, IPRange: ipNet(source),
			DestPortFrom: new(uint32(sshPort)), Position: uint32(i + 1), Editable: new(true), Zone: &c.zone,
		})
	}
	_, err := c.instance.SetSecurityGroupRules(&instance.SetSecurityGroupRulesRequest{Zone: c.zone, SecurityGroupID: r.ID, Rules: rules}, scw.WithContext(ctx))
	return err
}

func (c *Cloud) updateSecurityGroup(ctx context.Context, r *stack.SecurityGroup) error {
	_, err := c.instance.UpdateSecurityGroup(&instance.UpdateSecurityGroupRequest{
		Zone: c.zone, SecurityGroupID: r.ID, Name: &r.Name, Stateful: new(true),
		InboundDefaultPolicy: instance.SecurityGroupPolicyDrop, OutboundDefaultPolicy: instance.SecurityGroupPolicyAccept,
		EnableDefaultSecurity: new(true),
	}, scw.WithContext(ctx))
	if err != nil {
		return err
	}
	return c.setRules(ctx, r)
}

func (c *Cloud) findSecurityGroups(ctx context.Context) ([]*stack.SecurityGroup, error) {
	list, err := c.instance.ListSecurityGroups(&instance.ListSecurityGroupsRequest{Zone: c.zone, Project: &c.project, Tags: c.tags("")},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, err
	}
	var found []*stack.SecurityGroup
	for _, g := range list.SecurityGroups {
		if c.owns(g.Project, g.Tags) {
			found = append(found, newSecurityGroup(g))
		}
	}
	return found, nil
}

// newSecurityGroup is a group without its rules, which a call of its own reads.
func newSecurityGroup(g *instance.SecurityGroup) *stack.SecurityGroup {
	if g == nil {
		return &stack.SecurityGroup{}
	}
	group := &stack.SecurityGroup{ResourceMeta: stack.ResourceMeta{ID: g.ID, Name: g.Name, CreatedAt: when(g.CreationDate)}}
	if g.InboundDefaultPolicy != instance.SecurityGroupPolicyDrop || g.OutboundDefaultPolicy != instance.SecurityGroupPolicyAccept || !g.Stateful {
		group.Foreign = append(group.Foreign, fmt.Sprintf("inbound %s, outbound %s, stateful %t", g.InboundDefaultPolicy, g.OutboundDefaultPolicy, g.Stateful))
	}
	return group
}

// readRules completes a group with its rules.
func (c *Cloud) readRules(ctx context.Context, group *stack.SecurityGroup) error {
	list, err := c.instance.ListSecurityGroupRules(&instance.ListSecurityGroupRulesRequest{Zone: c.zone, SecurityGroupID: group.ID},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return err
	}
	for _, rule := range list.Rules {
		switch {
		case !rule.Editable: // Scaleway's own, against spam
		case isSSHRule(rule):
			group.SSHSources = append(group.SSHSources, hostPrefix(rule.IPRange))
		default:
			group.Foreign = append(group.Foreign, ruleText(rule))
		}
	}
	return nil
}

// ruleText is a rule that bootstrap did not make.
func ruleText(rule *instance.SecurityGroupRule) string {
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

// hostPrefix is a rule's range. The API answers single hosts without their
// length.
func hostPrefix(n scw.IPNet) netip.Prefix {
	p := prefix(n)
	if len(n.Mask) == 0 {
		return netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
	}
	return p
}

func (c *Cloud) deleteSecurityGroup(ctx context.Context, id string, report func(string)) error {
	return c.persist(ctx, report, func(ctx context.Context) error {
		return c.instance.DeleteSecurityGroup(&instance.DeleteSecurityGroupRequest{Zone: c.zone, SecurityGroupID: id}, scw.WithContext(ctx))
	})
}
