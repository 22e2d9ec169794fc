// Package scaleway carries out plans at Scaleway: stack.Cloud on Scaleway's
// SDK.
//
// Three things the API does not do for its callers are done here. Requests are
// repeated, when that is safe (transport). What is made is looked for first,
// and again after each doubtful answer, so that there is never a second one
// (ensure). And whatever changes is watched until it is what it should be
// (await): the SDK's own waiters take a failure for an end, and notice a
// cancelled context only after their interval.
package scaleway

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/scaleway/scaleway-sdk-go/api/block/v1"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	nic "github.com/scaleway/scaleway-sdk-go/api/instance/v2alpha1"
	"github.com/scaleway/scaleway-sdk-go/api/ipam/v1"
	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"
	"github.com/scaleway/scaleway-sdk-go/api/marketplace/v2"
	"github.com/scaleway/scaleway-sdk-go/api/registry/v1"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// Options of a Cloud. The zero value of each is its default.
type Options struct {
	// UserAgent tells the API who asks.
	UserAgent string

	// RequestTimeout bounds a single try of a request. Default: 30 s.
	RequestTimeout time.Duration

	// RetryFirst and RetryLongest are the first and the longest wait between
	// two tries, which double in between. Default: 500 ms and 15 s.
	RetryFirst, RetryLongest time.Duration

	// Tries is how often something is tried at most. Default: 12, which is
	// some two minutes.
	Tries int

	// PollFirst and PollLongest are the shortest and the longest wait between two
	// looks at something that changes. Default: 500 ms and 5 s.
	PollFirst, PollLongest time.Duration
}

func (o Options) withDefaults() Options {
	for _, each := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&o.RequestTimeout, 30 * time.Second},
		{&o.RetryFirst, 500 * time.Millisecond},
		{&o.RetryLongest, 15 * time.Second},
		{&o.PollFirst, 500 * time.Millisecond},
		{&o.PollLongest, 5 * time.Second},
	} {
		if *each.value == 0 {
			*each.value = each.usual
		}
	}
	if o.Tries == 0 {
		o.Tries = 12
	}
	return o
}

// Cloud is Scaleway, as one set-up sees it.
type Cloud struct {
	options Options
	backoff backoff

	// Where the set-up is, and whose.
	name, project string
	region        scw.Region
	zone          scw.Zone

	vpc         *vpc.API
	gateway     *vpcgw.API
	ipam        *ipam.API
	instance    *instance.API
	nic         *nic.API
	block       *block.API
	marketplace *marketplace.API
	k8s         *k8s.API
	registry    *registry.API
}

var _ stack.Cloud = (*Cloud)(nil)

// New returns the Cloud of a set-up, which works until the context ends. It asks
// the API once, so that an address that does not work shows at once.
func New(ctx context.Context, credentials Credentials, spec stack.Spec, options Options) (*Cloud, error) {
	quietSDK()
	options = options.withDefaults()
	retry := backoff{options.RetryFirst, options.RetryLongest, options.Tries}
	client, err := scw.NewClient(
		scw.WithProfile(credentials.profile),
		scw.WithHTTPClient(&http.Client{Transport: &transport{
			base: http.DefaultTransport, timeout: options.RequestTimeout, backoff: retry, ctx: ctx,
		}}),
		scw.WithUserAgent(options.UserAgent),
		scw.WithDefaultPageSize(pageSize),
	)
	if err != nil {
		return nil, fmt.Errorf("setting up the Scaleway client: %w", err)
	}
	// Later calls would fetch it each for itself, and write it to the client
	// unlocked.
	if _, err := client.GetAPIMetadata(); err != nil {
		return nil, explain(err, "")
	}
	return &Cloud{
		options: options, backoff: retry,
		name: spec.Name, project: spec.Project, region: scw.Region(spec.Region), zone: scw.Zone(spec.Zone),
		vpc: vpc.NewAPI(client), gateway: vpcgw.NewAPI(client), ipam: ipam.NewAPI(client), instance: instance.NewAPI(client),
		nic: nic.NewAPI(client), block: block.NewAPI(client), marketplace: marketplace.NewAPI(client), k8s: k8s.NewAPI(client),
		registry: registry.NewAPI(client),
	}, nil
}

// pageSize is the largest page that all of the APIs give.
const pageSize = 100

// tags are those of a resource with a role; the role may be empty.
func (c *Cloud) tags(role string) []string {
	tags := []string{stack.OwnerTag(c.name)}
	if role != "" {
		tags = append(tags, stack.RoleTag(role))
	}
	return tags
}

// when is a time that the API should tell; zero, as if it were very old, if it
// does not.
func when(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// Create implements stack.Cloud.
func (c *Cloud) Create(ctx context.Context, resource stack.Resource, report func(string)) error {
	var err error
	switch r := resource.(type) {
	case *stack.VPC:
		err = c.createVPC(ctx, r)
	case *stack.PrivateNetwork:
		err = c.createPrivateNetwork(ctx, r)
	case *stack.Gateway:
		err = c.createGateway(ctx, r, report)
	case *stack.GatewayNetwork:
		err = c.createGatewayNetwork(ctx, r, report)
	case *stack.PrivateIP:
		err = c.bookPrivateIP(ctx, r)
	case *stack.FlexibleIP:
		err = c.createFlexibleIP(ctx, r)
	case *stack.Attachment:
		err = c.attach(ctx, r)
	case *stack.SecurityGroup:
		err = c.createSecurityGroup(ctx, r)
	case *stack.Server:
		err = c.createServer(ctx, r)
	case *stack.Volume:
		err = c.claimVolume(ctx, r, report)
	case *stack.PrivateNIC:
		err = c.createPrivateNIC(ctx, r, report)
	case *stack.UserData:
		err = c.setUserData(ctx, r)
	case *stack.Power:
		err = c.powerOn(ctx, r, report)
	case *stack.Cluster:
		err = c.createCluster(ctx, r, report)
	case *stack.Pool:
		err = c.createPool(ctx, r, report)
	case *stack.Registry:
		err = c.createRegistry(ctx, r, report)
	default:
		return fmt.Errorf("%T cannot be created", resource)
	}
	return c.explain(ctx, err, resource)
}

// Update implements stack.Cloud.
func (c *Cloud) Update(ctx context.Context, resource stack.Resource, changes []stack.Change, report func(string)) error {
	var err error
	switch r := resource.(type) {
	case *stack.VPC:
		_, err = c.vpc.UpdateVPC(&vpc.UpdateVPCRequest{Region: c.region, VpcID: r.ID, Name: &r.Name}, scw.WithContext(ctx))
	case *stack.PrivateNetwork:
		_, err = c.vpc.UpdatePrivateNetwork(&vpc.UpdatePrivateNetworkRequest{Region: c.region, PrivateNetworkID: r.ID, Name: &r.Name}, scw.WithContext(ctx))
	case *stack.Gateway:
		err = c.updateGateway(ctx, r, changes, report)
	case *stack.GatewayNetwork:
		err = c.updateGatewayNetwork(ctx, r, changes, report)
	case *stack.Attachment:
		err = c.attach(ctx, r)
	case *stack.SecurityGroup:
		err = c.updateSecurityGroup(ctx, r)
	case *stack.Server:
		err = c.updateServer(ctx, r)
	case *stack.Volume:
		err = c.claimVolume(ctx, r, report)
	case *stack.UserData:
		err = c.setUserData(ctx, r)
	case *stack.Cluster:
		err = c.updateCluster(ctx, r, changes, report)
	case *stack.Pool:
		err = c.updatePool(ctx, r, changes, report)
	case *stack.Registry:
		err = c.updateRegistry(ctx, r)
	default:
		return fmt.Errorf("%T cannot be changed", resource)
	}
	return c.explain(ctx, err, resource)
}

// Delete implements stack.Cloud.
func (c *Cloud) Delete(ctx context.Context, resource stack.Resource, report func(string)) error {
	var err error
	switch r := resource.(type) {
	case *stack.VPC:
		err = c.deleteVPC(ctx, r.ID, report)
	case *stack.PrivateNetwork:
		err = c.deletePrivateNetwork(ctx, r.ID, report)
	case *stack.Gateway:
		err = c.deleteGateway(ctx, r.ID, report)
	case *stack.GatewayNetwork:
		err = c.deleteGatewayNetwork(ctx, r.ID, report)
	case *stack.PrivateIP:
		err = c.releasePrivateIP(ctx, r.ID, report)
	case *stack.FlexibleIP:
		err = c.deleteFlexibleIP(ctx, r.ID)
	case *stack.SecurityGroup:
		err = c.deleteSecurityGroup(ctx, r.ID, report)
	case *stack.Server:
		err = c.deleteServer(ctx, r, report)
	case *stack.Volume:
		err = c.deleteVolume(ctx, r.ID, report)
	case *stack.PrivateNIC:
		err = c.deletePrivateNIC(ctx, r.ID, report)
	case *stack.Cluster:
		err = c.deleteCluster(ctx, r.ID, report)
	case *stack.Pool:
		err = c.deletePool(ctx, r.ID, report)
	case *stack.Registry:
		err = c.deleteRegistry(ctx, r.ID, report)
	default:
		return fmt.Errorf("%T cannot be deleted", resource)
	}
	return c.explain(ctx, err, resource)
}
