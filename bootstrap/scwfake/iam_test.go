package scwfake_test

import (
	"errors"
	"testing"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/iam/v1alpha1"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
)

// withKey returns a client with a key of an application that may do what the sets admit.
func (c *cloud) withKey(t *testing.T, sets ...string) (*scw.Client, *iam.APIKey) {
	t.Helper()
	app := anApplication(c)["applications"]
	must(iam.NewAPI(c.client).CreatePolicy(&iam.CreatePolicyRequest{
		Name: "p", OrganizationID: scwfake.DefaultOrganizationID, ApplicationID: &app,
		Rules: []*iam.RuleSpecs{{PermissionSetNames: &sets, ProjectIDs: &[]string{scwfake.DefaultProjectID}}},
	}))(t)
	key := must(iam.NewAPI(c.client).CreateAPIKey(&iam.CreateAPIKeyRequest{
		ApplicationID: &app, Description: "d", ExpiresAt: new(time.Now().Add(time.Hour)),
	}))(t)
	client := must(scw.NewClient(scw.WithAPIURL(c.url), scw.WithAuth(key.AccessKey, *key.SecretKey), scw.WithDefaultRegion(region)))(t)
	must(client.GetAPIMetadata())(t)
	return client, key
}

// A key may do what the policies of its application admit, until it is deleted.
func TestPermissionsOfKeys(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	client, key := c.withKey(t, "VPCReadOnly")
	var denied *scw.PermissionsDeniedError
	if _, err := vpc.NewAPI(client).ListVPCs(&vpc.ListVPCsRequest{}); err != nil {
		t.Errorf("a permitted read: %v", err)
	}
	if _, err := vpc.NewAPI(client).CreateVPC(&vpc.CreateVPCRequest{Name: "v"}); !errors.As(err, &denied) {
		t.Errorf("a write with ReadOnly: %v", err)
	}
	if _, err := vpc.NewAPI(client).ListPrivateNetworks(&vpc.ListPrivateNetworksRequest{}); !errors.As(err, &denied) {
		t.Errorf("a read of another product: %v", err)
	}
	if _, err := iam.NewAPI(client).GetAPIKey(&iam.GetAPIKeyRequest{AccessKey: key.AccessKey}); !errors.As(err, &denied) {
		t.Errorf("a read of IAM: %v", err)
	}
	noError(t, iam.NewAPI(c.client).DeleteAPIKey(&iam.DeleteAPIKeyRequest{AccessKey: key.AccessKey}))
	var auth *scw.DeniedAuthenticationError
	if _, err := vpc.NewAPI(client).ListVPCs(&vpc.ListVPCsRequest{}); !errors.As(err, &auth) {
		t.Errorf("a deleted key: %v", err)
	}
}

// Requests outside the bounds of the SDK's documentation are refused.
func TestRefusalsOfIAM(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	api, app := iam.NewAPI(c.client), anApplication(c)["applications"]
	organization := scwfake.DefaultOrganizationID
	var invalid *scw.InvalidArgumentsError
	_, err := api.CreateAPIKey(&iam.CreateAPIKeyRequest{ApplicationID: &app, ExpiresAt: new(time.Now().Add(-time.Hour))})
	if !errors.As(err, &invalid) {
		t.Errorf("a key that has expired: %v", err)
	}
	for name, rules := range map[string]*iam.RuleSpecs{
		"no scope":    {PermissionSetNames: &[]string{"VPCReadOnly"}},
		"two scopes":  {PermissionSetNames: &[]string{"VPCReadOnly"}, OrganizationID: &organization, ProjectIDs: &[]string{scwfake.DefaultProjectID}},
		"unknown set": {PermissionSetNames: &[]string{"VPCAccess"}, OrganizationID: &organization},
	} {
		_, err := api.CreatePolicy(&iam.CreatePolicyRequest{Name: "p", OrganizationID: organization, ApplicationID: &app, Rules: []*iam.RuleSpecs{rules}})
		if !errors.As(err, &invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var missing *scw.ResourceNotFoundError
	if _, err := api.CreateAPIKey(&iam.CreateAPIKeyRequest{ApplicationID: new(scwfake.DefaultProjectID)}); !errors.As(err, &missing) {
		t.Errorf("a key of an unknown application: %v", err)
	}
	var denied *scw.PermissionsDeniedError
	if _, err := api.ListApplications(&iam.ListApplicationsRequest{OrganizationID: scwfake.DefaultProjectID}); !errors.As(err, &denied) {
		t.Errorf("another organization: %v", err)
	}
}
