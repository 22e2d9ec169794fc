package scaleway

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/iam/v1alpha1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// ApplicationName is the name of the application and of the policy of a stack. It has
// at most 58 characters; the API admits 64.
func (i *IAM) ApplicationName() string {
	project, _, _ := strings.Cut(i.project, "-")
	return "egress-" + i.stack + "-bootstrap-" + project
}

func (i *IAM) description() string {
	return "bootstrap of egress.scw, stack " + i.stack + ", project " + i.project
}

func (i *IAM) tags() []string { return []string{stack.OwnerTag(i.stack)} }

// FindApplication returns the ID of the application of the stack, or "" if there is
// none. It is found by its name and its tag.
func (i *IAM) FindApplication(ctx context.Context, organization string) (string, error) {
	found, err := i.applications(ctx, organization)
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0].ID, nil
}

func (i *IAM) applications(ctx context.Context, organization string) ([]*iam.Application, error) {
	name := i.ApplicationName()
	list, err := i.iam.ListApplications(&iam.ListApplicationsRequest{OrganizationID: organization, Name: &name},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, explainIAM(err)
	}
	var ours []*iam.Application
	for _, app := range list.Applications {
		if app.Name != name { // the API's filter is a part of the name
			continue
		}
		if !slices.Contains(app.Tags, stack.OwnerTag(i.stack)) {
			return nil, fmt.Errorf("there is an IAM application %s without the tag %s, so bootstrap did not create it: rename or delete it",
				name, stack.OwnerTag(i.stack))
		}
		ours = append(ours, app)
	}
	return byAge(ours, func(a *iam.Application) *time.Time { return a.CreatedAt }), nil
}

// EnsureApplication returns the ID of the application of the stack, and creates it if
// there is none. Its policy contains exactly the permission sets for its project
// afterwards.
func (i *IAM) EnsureApplication(ctx context.Context, organization string, sets []string) (string, error) {
	app, err := ensureIAM(ctx, i,
		func() ([]*iam.Application, error) { return i.applications(ctx, organization) },
		func() (*iam.Application, error) {
			return i.iam.CreateApplication(&iam.CreateApplicationRequest{
				Name: i.ApplicationName(), OrganizationID: organization, Tags: i.tags(),
				Description: i.description(),
			}, scw.WithContext(ctx))
		})
	if err != nil {
		return "", fmt.Errorf("IAM application %s: %w", i.ApplicationName(), err)
	}
	if err := i.ensurePolicy(ctx, organization, app.ID, sets); err != nil {
		return "", fmt.Errorf("IAM policy %s: %w", i.ApplicationName(), err)
	}
	return app.ID, nil
}

func (i *IAM) ensurePolicy(ctx context.Context, organization, application string, sets []string) error {
	wanted := []*iam.RuleSpecs{{PermissionSetNames: &sets, ProjectIDs: &[]string{i.project}}}
	policy, err := ensureIAM(ctx, i,
		func() ([]*iam.Policy, error) { return i.ownPolicies(ctx, organization, application) },
		func() (*iam.Policy, error) {
			return i.iam.CreatePolicy(&iam.CreatePolicyRequest{
				Name: i.ApplicationName(), OrganizationID: organization, Tags: i.tags(), ApplicationID: &application, Rules: wanted,
				Description: i.description(),
			}, scw.WithContext(ctx))
		})
	if err != nil {
		return err
	}
	rules, err := i.rules(ctx, policy.ID)
	if err != nil || sameRules(rules, i.project, sets) {
		return err
	}
	_, err = i.iam.SetRules(&iam.SetRulesRequest{PolicyID: policy.ID, Rules: wanted}, scw.WithContext(ctx))
	return explainIAM(err)
}

// sameRules reports whether rules are one rule with exactly the sets, for the project.
func sameRules(rules []*iam.Rule, project string, sets []string) bool {
	if len(rules) != 1 || !slices.Equal(elements(rules[0].ProjectIDs), []string{project}) || rules[0].Condition != "" {
		return false
	}
	has := slices.Sorted(slices.Values(elements(rules[0].PermissionSetNames)))
	return slices.Equal(has, slices.Sorted(slices.Values(sets)))
}

// ownPolicies returns the policies that bootstrap created for the application.
func (i *IAM) ownPolicies(ctx context.Context, organization, application string) ([]*iam.Policy, error) {
	all, err := i.policies(ctx, organization, application)
	ours := slices.DeleteFunc(all, func(p *iam.Policy) bool {
		return p.Name != i.ApplicationName() || !slices.Contains(p.Tags, stack.OwnerTag(i.stack))
	})
	return byAge(ours, func(p *iam.Policy) *time.Time { return p.CreatedAt }), err
}

// policies returns the policies of an application.
func (i *IAM) policies(ctx context.Context, organization, application string) ([]*iam.Policy, error) {
	list, err := i.iam.ListPolicies(&iam.ListPoliciesRequest{OrganizationID: organization, ApplicationIDs: []string{application}},
		scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, explainIAM(err)
	}
	return slices.DeleteFunc(list.Policies, func(p *iam.Policy) bool { return orEmpty(p.ApplicationID) != application }), nil
}

func (i *IAM) rules(ctx context.Context, policy string) ([]*iam.Rule, error) {
	list, err := i.iam.ListRules(&iam.ListRulesRequest{PolicyID: policy}, scw.WithContext(ctx), scw.WithAllPages())
	if err != nil {
		return nil, explainIAM(err)
	}
	return list.Rules, nil
}
