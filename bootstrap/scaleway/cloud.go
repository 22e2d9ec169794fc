// Package scaleway carries out plans at Scaleway: it implements stack.Cloud with
// Scaleway's SDK.
//
// The package adds three things that the API and the SDK lack. It repeats
// requests where that is safe (transport). It looks for a resource before it
// creates it, and again after each uncertain answer, so that there is never a
// second one (ensure). It watches a changing resource until it reaches its final
// state (await): the SDK's own waiters take a failure for the end, and notice a
// cancelled context only after their interval.
//
// A kind of resource is a row of operations, next to the functions that the row
// names; the table is in products.go. The documentation of package stack lists the
// files that a new kind takes.
package scaleway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/stack"
)

// Options are the settings of a Cloud. The zero value of each means its default.
type Options struct {
	// UserAgent identifies the client to the API.
	UserAgent string

	// RequestTimeout bounds a single attempt of a request. Default: 30 s.
	RequestTimeout time.Duration

	// RetryFirst and RetryLongest are the first and the longest wait between two
	// attempts. The waits double in between. Default: 500 ms and 15 s.
	RetryFirst, RetryLongest time.Duration

	// Tries bounds the number of attempts. Default: 12, which takes about two
	// minutes.
	Tries int

	// PollFirst and PollLongest are the shortest and the longest wait between two
	// observations of a changing resource. Default: 500 ms and 5 s.
	PollFirst, PollLongest time.Duration

	// Settle is how long a resource must stay in a failing state until that counts as
	// its final state. Default: 30 s. Scaleway's gateways were recorded to be "failed"
	// for 0.3 s during an upgrade.
	Settle time.Duration

	// RetryTimeout is the time in which attempts of a request begin. Default: 2 min,
	// which Tries take if each fails at once.
	RetryTimeout time.Duration

	// ReachTimeout takes the place of RetryTimeout until the API has answered. A third
	// of it bounds an attempt. Default: 30 s.
	ReachTimeout time.Duration

	// Report is called before a request is repeated to an API that has not answered
	// yet. Default: there is no report.
	Report func(string)
}

func (o Options) withDefaults() Options {
	o.RequestTimeout = cmp.Or(o.RequestTimeout, 30*time.Second)
	o.RetryFirst = cmp.Or(o.RetryFirst, 500*time.Millisecond)
	o.RetryLongest = cmp.Or(o.RetryLongest, 15*time.Second)
	o.Tries = cmp.Or(o.Tries, 12)
	o.PollFirst = cmp.Or(o.PollFirst, 500*time.Millisecond)
	o.PollLongest = cmp.Or(o.PollLongest, 5*time.Second)
	o.Settle = cmp.Or(o.Settle, 30*time.Second)
	o.RetryTimeout = cmp.Or(o.RetryTimeout, 2*time.Minute)
	o.ReachTimeout = cmp.Or(o.ReachTimeout, 30*time.Second)
	return o
}

// Cloud is Scaleway's API, seen from one stack.
type Cloud struct {
	products

	options Options
	backoff backoff

	// The stack's name, project and location.
	name, project string
	region        scw.Region
	// zone is the zone of the first machine.
	zone scw.Zone
}

var _ stack.Cloud = (*Cloud)(nil)

// New returns the Cloud of a stack, which works until the context ends. It sends
// one request, so that an address without an answer is reported at once.
func New(ctx context.Context, credentials Credentials, spec stack.Spec, options Options) (*Cloud, error) {
	options = options.withDefaults()
	client, sends, err := newClient(ctx, credentials, options)
	if err != nil {
		return nil, err
	}
	return &Cloud{
		products: newProducts(client), options: options, backoff: sends.backoff,
		name: spec.Name, project: spec.Project, region: scw.Region(spec.Region), zone: scw.Zone(spec.Machines()[0].Zone),
	}, nil
}

// newClient returns a client that repeats requests, after its first request, and its
// transport.
func newClient(ctx context.Context, credentials Credentials, options Options) (*scw.Client, *transport, error) {
	quietSDK()
	sends := &transport{
		base: metadataTransport{connections}, timeout: options.RequestTimeout, ctx: ctx,
		backoff: backoff{options.RetryFirst, options.RetryLongest, options.Tries},
		limit:   options.RetryTimeout, reach: reach{timeout: options.ReachTimeout, report: options.Report},
	}
	client, err := scw.NewClient(
		scw.WithProfile(credentials.profile),
		scw.WithHTTPClient(&http.Client{Transport: sends, CheckRedirect: refuseRedirect}),
		scw.WithUserAgent(options.UserAgent),
		scw.WithDefaultPageSize(pageSize),
	)
	if err != nil {
		return nil, nil, fmt.Errorf("setting up the Scaleway client: %w", err)
	}
	// Without this, later calls would each fetch the metadata, and write it to the
	// client without a lock.
	if _, err := client.GetAPIMetadata(); err != nil {
		return nil, nil, explain(err, "")
	}
	return client, sends, nil
}

// refuseRedirect makes a redirection an error of the API. Go's client would send the secret
// key, in a header of Scaleway's own, on to any other host.
func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// pageSize is the largest page size that all of the APIs accept.
const pageSize = 100

// tags returns the tags of a resource with a role. The role may be empty.
func (c *Cloud) tags(role string) []string {
	tags := []string{stack.OwnerTag(c.name)}
	if role != "" {
		tags = append(tags, stack.RoleTag(role))
	}
	return tags
}

// owns reports whether a resource belongs to the stack. It does not rely on the
// filters of the API, because they differ from product to product.
func (c *Cloud) owns(project string, tags []string) bool {
	return project == c.project && slices.Contains(tags, stack.OwnerTag(c.name))
}

// timeOf returns a time that the API should report. A missing time is the zero
// time, as if the resource were very old.
func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// statusReady is the term of package stack for a complete resource, whatever the
// product's API calls it.
const statusReady = "ready"

// silent is the report function of waits that are not displayed.
func silent(string) {}

// copyCreated copies the properties of a created resource to the wanted one.
func copyCreated[R stack.Resource](wanted, created R, err error) error {
	if err != nil {
		return err
	}
	wanted.CopyObserved(created)
	return nil
}

// changed reports whether one of the fields is among the changes.
func changed(changes []stack.Change, fields ...string) bool {
	return slices.ContainsFunc(changes, func(c stack.Change) bool { return slices.Contains(fields, c.Field) })
}
