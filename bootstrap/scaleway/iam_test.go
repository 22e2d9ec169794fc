package scaleway

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/scaleway/scaleway-sdk-go/api/iam/v1alpha1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/config"
	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// iam returns the IAM of a stack whose API is the fake, with the key of the owner.
func (f *fake) iam(ctx context.Context, t testing.TB, spec stack.Spec) *IAM {
	t.Helper()
	access, secret := scwfake.DefaultAccessKey, "33333333-3333-4333-8333-333333333333"
	credentials := Credentials{spec.Project, &scw.Profile{AccessKey: &access, SecretKey: &secret, APIURL: &f.server.URL}}
	made, err := NewIAM(ctx, credentials, spec, impatient())
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// rulesOf returns the rules of each policy at the fake, by its name.
func (f *fake) rulesOf() map[string]string {
	rules := map[string]string{}
	for _, item := range f.IAM() {
		if item.Kind == "policy" {
			rules[item.Name] = item.Details["rules"]
		}
	}
	return rules
}

// TestPermissionSetsOfAStack requires the sets that the documentation lists, and FullAccess only
// where the stack writes.
func TestPermissionSetsOfAStack(t *testing.T) {
	t.Parallel()
	always := []string{
		"BlockStorageFullAccess", "IPAMFullAccess", "InstancesFullAccess", "PrivateNetworksFullAccess", "VPCFullAccess", "VPCGatewayFullAccess",
	}
	managed, theirs := &config.Cluster{}, &config.Cluster{ID: "55555555-5555-4555-8555-555555555555"}
	registry := &config.Registry{}
	for _, c := range []struct {
		spec config.Spec
		more []string
	}{
		{config.Spec{}, []string{"ContainerRegistryReadOnly", "KubernetesReadOnly"}},
		{config.Spec{Cluster: managed}, []string{"ContainerRegistryReadOnly", "KubernetesFullAccess"}},
		{config.Spec{Cluster: theirs, Registry: registry}, []string{"ContainerRegistryFullAccess", "KubernetesFullAccess"}},
	} {
		want := append(slices.Clone(always), c.more...)
		slices.Sort(want)
		got := slices.Sorted(slices.Values(PermissionSets(stack.Spec{Spec: c.spec})))
		if !slices.Equal(got, want) {
			t.Errorf("%+v needs %q, want %q", c.spec, got, want)
		}
	}
}

// Stacks with one name in two projects of an organization have an application each.
func TestApplicationsOfTwoProjects(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	projects := []string{scwfake.DefaultProjectID, "77777777-7777-4777-8777-777777777777"}
	var ids []string
	for _, project := range append(projects, projects...) {
		i := f.iam(t.Context(), t, stack.Spec{Name: "test", Spec: config.Spec{Project: project}})
		id, err := i.EnsureApplication(t.Context(), scwfake.DefaultOrganizationID, []string{"VPCReadOnly"})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if ids[0] == ids[1] || ids[0] != ids[2] || ids[1] != ids[3] {
		t.Errorf("the applications are %q", ids)
	}
	rules := f.rulesOf()
	for _, project := range projects {
		if name := "egress-test-bootstrap-" + project[:8]; !strings.Contains(rules[name], project) || len(rules) != len(projects) {
			t.Errorf("the policy of %s is %q of %q", project, rules[name], rules)
		}
	}
}

// The policy has exactly the sets of the stack, whatever it had before.
func TestPolicyIsRestored(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	i := f.iam(t.Context(), t, stack.Spec{Name: "test", Spec: config.Spec{Project: scwfake.DefaultProjectID}})
	app, err := i.EnsureApplication(t.Context(), scwfake.DefaultOrganizationID, []string{"VPCReadOnly", "IPAMReadOnly"})
	if err != nil {
		t.Fatal(err)
	}
	policies, err := i.policies(t.Context(), scwfake.DefaultOrganizationID, app)
	if err != nil || len(policies) != 1 {
		t.Fatalf("%d policies, %v", len(policies), err)
	}
	organization, project := scwfake.DefaultOrganizationID, []string{scwfake.DefaultProjectID}
	for name, rules := range map[string][]*iam.RuleSpecs{
		"none":                {},
		"one set more":        {{PermissionSetNames: &[]string{"VPCReadOnly", "IPAMReadOnly", "IAMManager"}, ProjectIDs: &project}},
		"one rule more":       {{PermissionSetNames: &[]string{"VPCReadOnly", "IPAMReadOnly"}, ProjectIDs: &project}, {PermissionSetNames: &[]string{"IAMManager"}, OrganizationID: &organization}},
		"of the organization": {{PermissionSetNames: &[]string{"VPCReadOnly", "IPAMReadOnly"}, OrganizationID: &organization}},
		"one set less":        {{PermissionSetNames: &[]string{"VPCReadOnly"}, ProjectIDs: &project}},
	} {
		if _, err := i.iam.SetRules(&iam.SetRulesRequest{PolicyID: policies[0].ID, Rules: rules}); err != nil {
			t.Fatal(err)
		}
		if again, err := i.EnsureApplication(t.Context(), organization, []string{"IPAMReadOnly", "VPCReadOnly"}); err != nil || again != app {
			t.Errorf("%s: application %s, %v", name, again, err)
		}
		got, err := i.rules(t.Context(), policies[0].ID)
		if err != nil || len(got) != 1 || !sameRules(got, scwfake.DefaultProjectID, []string{"VPCReadOnly", "IPAMReadOnly"}) {
			t.Errorf("%s: the rules are %+v (%v)", name, got, err)
		}
	}
}

// An application of another origin with the name is an error, and stays as it is.
func TestApplicationOfAnotherOrigin(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	i := f.iam(t.Context(), t, stack.Spec{Name: "test", Spec: config.Spec{Project: scwfake.DefaultProjectID}})
	if _, err := i.iam.CreateApplication(&iam.CreateApplicationRequest{Name: i.ApplicationName(), OrganizationID: scwfake.DefaultOrganizationID}); err != nil {
		t.Fatal(err)
	}
	_, err := i.EnsureApplication(t.Context(), scwfake.DefaultOrganizationID, []string{"VPCReadOnly"})
	if err == nil || !strings.Contains(err.Error(), "without the tag egress") || len(f.rulesOf()) > 0 {
		t.Errorf("got %v, and the policies %v", err, f.rulesOf())
	}
}
