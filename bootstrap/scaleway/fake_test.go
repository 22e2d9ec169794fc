package scaleway

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/config/configtest"
	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// newSpec returns the stack of the shared egress.yaml, after replacements.
func newSpec(t testing.TB, oldnew ...string) stack.Spec {
	t.Helper()
	return stack.NewSpec(configtest.Load(t, oldnew...), scwfake.DefaultProjectID)
}

// fake is a fake API with its server.
type fake struct {
	*scwfake.API

	server *httptest.Server
}

func serve(t testing.TB, options scwfake.Options) *fake {
	t.Helper()
	f := &fake{API: scwfake.New(options)}
	f.server = httptest.NewServer(f.API)
	t.Cleanup(func() {
		f.Close() // ends requests that do not get an answer
		f.server.CloseClientConnections()
		f.server.Close()
	})
	return f
}

// settled waits until all sent requests are carried out, also those of a run that did
// not wait for them. The fake is served at another address from then on. For requests
// that are carried out during the next run, there is concurrent_runs_test.go.
func (f *fake) settled() {
	f.server.Close()
	f.server = httptest.NewServer(f.server.Config.Handler)
}

// impatient returns options for a fake without latencies. The fake answers a request at
// once or not at all. The timeout of requests is long, because the machine may be slow, and so
// are the last waits: another run that has to go on may not get the CPU.
func impatient() Options {
	return Options{
		RequestTimeout: 30 * time.Second, RetryFirst: time.Millisecond, RetryLongest: 100 * time.Millisecond,
		PollFirst: time.Millisecond, PollLongest: 4 * time.Millisecond, Settle: 20 * time.Millisecond,
	}
}

// cloud returns a Cloud whose API is the fake. The environment cannot contain the
// address of the fake, because tests run in parallel.
func (f *fake) cloud(ctx context.Context, t testing.TB, spec stack.Spec) *Cloud {
	t.Helper()
	return f.cloudWith(ctx, t, spec, impatient())
}

func (f *fake) cloudWith(ctx context.Context, t testing.TB, spec stack.Spec, options Options) *Cloud {
	t.Helper()
	access, secret, project := "SCWXXXXXXXXXXXXXXXXX", "33333333-3333-4333-8333-333333333333", scwfake.DefaultProjectID
	credentials := Credentials{project, &scw.Profile{AccessKey: &access, SecretKey: &secret, DefaultProjectID: &project, APIURL: &f.server.URL}}
	cloud, err := New(ctx, credentials, spec, options)
	if err != nil {
		t.Fatal(err)
	}
	return cloud
}

// apply does the same as the command.
func apply(ctx context.Context, cloud *Cloud, spec stack.Spec) (*stack.Plan, error) {
	plan, err := plan(ctx, cloud, spec)
	if err != nil {
		return nil, err
	}
	if err := cloud.Check(ctx, spec, plan); err != nil {
		return plan, err
	}
	_, err = run(ctx, cloud, plan)
	return plan, err
}

func plan(ctx context.Context, cloud *Cloud, spec stack.Spec) (*stack.Plan, error) {
	_, plan, err := stack.ObserveAndPlan(ctx, cloud, spec)
	return plan, err
}

func destroy(ctx context.Context, cloud *Cloud, spec stack.Spec) error {
	observed, err := cloud.Observe(ctx, spec)
	if err != nil {
		return err
	}
	_, err = run(ctx, cloud, stack.DiffDestroy(observed))
	return err
}

func run(ctx context.Context, cloud *Cloud, plan *stack.Plan) (stack.Summary, error) {
	return stack.Runner{Cloud: cloud, Parallelism: 8, Events: func(stack.Event) {}}.Run(ctx, plan)
}

// stepsOf returns a plan's steps in short.
func stepsOf(plan *stack.Plan) []string {
	var steps []string
	for _, step := range plan.Steps {
		text := string(step.Action) + " " + stack.Key{Kind: step.Kind, Role: step.Role}.String()
		for _, change := range step.Changes {
			if step.Action != stack.Create && change.Field != "text" { // the number of lines depends on the template
				text += "; " + change.Field + ": " + change.From + " -> " + change.To
			}
		}
		steps = append(steps, text)
	}
	return steps
}
