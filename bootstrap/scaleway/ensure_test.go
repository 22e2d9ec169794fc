package scaleway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// vpcAt returns a resource that was created at a minute of an hour. 0: of unknown age.
func vpcAt(id string, minute int) *stack.VPC {
	meta := stack.ResourceMeta{ID: id}
	if minute > 0 {
		meta.CreatedAt = time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)
	}
	return &stack.VPC{ResourceMeta: meta}
}

func leaving(r *stack.VPC) *stack.VPC {
	r.Deleting = true
	return r
}

// workshop answers the calls of ensure with the steps of a test, one after the other.
// The last step is repeated.
type workshop struct {
	// lists are the results of find: resources, or an error.
	lists []any
	// makes are the results of create: a resource, or an error.
	makes []any
	// removal is the result of remove.
	removal error

	log []string
}

func next[T any](steps []T, n int) T { return steps[min(n, len(steps)-1)] }

func (w *workshop) maker() maker[*stack.VPC] {
	finds, creates := 0, 0
	return maker[*stack.VPC]{
		find: func(context.Context) ([]*stack.VPC, error) {
			w.log = append(w.log, "find")
			step := next(w.lists, finds)
			finds++
			if err, ok := step.(error); ok {
				return nil, err
			}
			return slices.Clone(step.([]*stack.VPC)), nil
		},
		create: func(context.Context) (*stack.VPC, error) {
			w.log = append(w.log, "create")
			step := next(w.makes, creates)
			creates++
			if err, ok := step.(error); ok {
				return nil, err
			}
			return step.(*stack.VPC), nil
		},
		remove: func(_ context.Context, r *stack.VPC, _ func(string)) error {
			w.log = append(w.log, "remove "+r.ID)
			return w.removal
		},
	}
}

func listed(resources ...*stack.VPC) []*stack.VPC { return resources }

var (
	errBroken     = errors.New("broken")
	errUncertain  = &uncertainError{http.MethodPost, errBroken}
	errPasses     = fmt.Errorf("wrapped: %w", &scw.TransientStateError{Resource: "gateway", CurrentState: "configuring"})
	nothingListed = []*stack.VPC{}
)

func TestEnsure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		workshop
		want string // the ID; empty: an error is wanted
		err  error
		does string
	}{
		{"it exists", workshop{lists: []any{listed(vpcAt("theirs", 1))}}, "theirs", nil, "find"},
		{"several exist", workshop{lists: []any{listed(vpcAt("young", 3), vpcAt("old", 1), vpcAt("middle", 2))}}, "old", nil, "find"},
		{
			"a resource that is being deleted does not count",
			workshop{lists: []any{listed(leaving(vpcAt("leaving", 1))), listed(leaving(vpcAt("leaving", 1)), vpcAt("ours", 2))}, makes: []any{vpcAt("ours", 2)}},
			"ours", nil, "find, create, find",
		},
		{"it is created", workshop{lists: []any{nothingListed, listed(vpcAt("ours", 2))}, makes: []any{vpcAt("ours", 2)}}, "ours", nil, "find, create, find"},
		{"the list is out of date", workshop{lists: []any{nothingListed}, makes: []any{vpcAt("ours", 2)}}, "ours", nil, "find, create, find"},
		{
			"another run was faster",
			workshop{lists: []any{nothingListed, listed(vpcAt("ours", 2), vpcAt("theirs", 1))}, makes: []any{vpcAt("ours", 2)}},
			"theirs", nil, "find, create, find, remove ours",
		},
		{
			"another run was slower",
			workshop{lists: []any{nothingListed, listed(vpcAt("theirs", 3), vpcAt("ours", 2))}, makes: []any{vpcAt("ours", 2)}},
			"ours", nil, "find, create, find",
		},
		{
			"of the same age, all choose the same",
			workshop{lists: []any{nothingListed, listed(vpcAt("b-ours", 2), vpcAt("a-theirs", 2))}, makes: []any{vpcAt("b-ours", 2)}},
			"a-theirs", nil, "find, create, find, remove b-ours",
		},
		{
			"another run was faster, and the list is out of date",
			workshop{lists: []any{nothingListed, listed(vpcAt("theirs", 1))}, makes: []any{vpcAt("ours", 2)}},
			"theirs", nil, "find, create, find, remove ours",
		},
		{
			"another run was slower, and the list is out of date",
			workshop{lists: []any{nothingListed, listed(vpcAt("theirs", 3))}, makes: []any{vpcAt("ours", 2)}},
			"ours", nil, "find, create, find",
		},
		{
			"unknown ages do not decide",
			workshop{lists: []any{nothingListed, listed(vpcAt("a-theirs", 0))}, makes: []any{vpcAt("b-ours", 0)}},
			"b-ours", nil, "find, create, find",
		},
		{"a refusal, because it exists", workshop{lists: []any{nothingListed, listed(vpcAt("theirs", 1))}, makes: []any{errBroken}}, "theirs", nil, "find, create, find"},
		{"a refusal", workshop{lists: []any{nothingListed}, makes: []any{errBroken}}, "", errBroken, "find, create, find"},
		{"uncertain, and it was created", workshop{lists: []any{nothingListed, listed(vpcAt("ours", 1))}, makes: []any{errUncertain}}, "ours", nil, "find, create, find"},
		{
			"uncertain, and found late",
			workshop{lists: []any{nothingListed, nothingListed, listed(vpcAt("ours", 1))}, makes: []any{errUncertain}},
			"ours", nil, "find, create, find, find",
		},
		{
			"uncertain, and it was not created",
			workshop{lists: []any{nothingListed, nothingListed, nothingListed, listed(vpcAt("ours", 1))}, makes: []any{errUncertain, vpcAt("ours", 1)}},
			"ours", nil, "find, create, find, find, create, find",
		},
		{
			"uncertain, and the list fails",
			workshop{lists: []any{nothingListed, errBroken, nothingListed, listed(vpcAt("ours", 1))}, makes: []any{errUncertain, vpcAt("ours", 1)}},
			"ours", nil, "find, create, find, find, create, find",
		},
		{
			"a success without a resource",
			workshop{lists: []any{nothingListed, listed(vpcAt("ours", 1))}, makes: []any{vpcAt("", 0)}},
			"ours", nil, "find, create, find",
		},
		{"a transient state", workshop{lists: []any{nothingListed}, makes: []any{errPasses, vpcAt("ours", 1)}}, "ours", nil, "find, create, find, find, create, find"},
		{"always uncertain", workshop{lists: []any{nothingListed}, makes: []any{errUncertain}}, "", errUncertain, "find, create, find, find, create, find, find, create, find"},
		{"the list fails", workshop{lists: []any{errBroken}}, "", errBroken, "find"},
		{"the second list fails", workshop{lists: []any{nothingListed, errBroken}, makes: []any{vpcAt("ours", 1)}}, "", errBroken, "find, create, find"},
		{
			"ours cannot be removed",
			workshop{lists: []any{nothingListed, listed(vpcAt("theirs", 1), vpcAt("ours", 2))}, makes: []any{vpcAt("ours", 2)}, removal: errBroken},
			"", errBroken, "find, create, find, remove ours",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cloud := &Cloud{backoff: backoff{time.Millisecond, time.Millisecond, 3}}
			got, err := ensure(t.Context(), cloud, c.maker())
			if did := strings.Join(c.log, ", "); did != c.does {
				t.Errorf("it did %q, want %q", did, c.does)
			}
			if c.want == "" {
				if !errors.Is(err, c.err) {
					t.Errorf("the error is %v, want %v", err, c.err)
				}
				return
			}
			if err != nil || got.ID != c.want {
				t.Errorf("got %+v and %v, want %s", got, err, c.want)
			}
		})
	}
}

// A wait between two attempts ends with the context.
func TestEnsureIsCancelled(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancelCause(t.Context())
	cloud := &Cloud{backoff: backoff{time.Hour, time.Hour, 3}}
	w := workshop{lists: []any{nothingListed}, makes: []any{errUncertain}}
	time.AfterFunc(20*time.Millisecond, func() { end(errEnd) })
	if _, err := ensure(ctx, cloud, w.maker()); !errors.Is(err, errEnd) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]string{"find", "create", "find"}, w.log); diff != "" {
		t.Errorf("it did: -want +got\n%s", diff)
	}
}

// Transient obstacles are waited for. A resource that does not exist any more is not
// an error.
func TestPersist(t *testing.T) {
	t.Parallel()
	gone := sdkError(t, http.StatusNotFound, bodyUnusual)
	inUse := sdkError(t, http.StatusPreconditionFailed, bodyPrecondition)
	for _, c := range []struct {
		name  string
		steps []error
		tries int
		want  error
	}{
		{"done", []error{nil}, 1, nil},
		{"gone already", []error{gone}, 1, nil},
		{"transient obstacles", []error{errPasses, inUse, errUncertain, nil}, 4, nil},
		{"uncertain, and gone", []error{errUncertain, gone}, 2, nil},
		{"refused", []error{errBroken}, 1, errBroken},
		{"always in use", []error{inUse}, 5, inUse},
	} {
		cloud := &Cloud{backoff: backoff{time.Millisecond, time.Millisecond, 5}}
		tries, reports := 0, 0
		err := cloud.persist(t.Context(), func(text string) {
			reports++
			if !strings.HasPrefix(text, "blocked: ") || strings.HasPrefix(text, "blocked: scaleway-sdk-go") {
				t.Errorf("%s: it reports %q", c.name, text)
			}
		}, func(context.Context) error {
			tries++
			return next(c.steps, tries-1)
		})
		if !errors.Is(err, c.want) || tries != c.tries || (err != nil && c.want == nil) {
			t.Errorf("%s: %v after %d tries, want %v after %d", c.name, err, tries, c.want, c.tries)
		}
		if tries > 1 && reports == 0 {
			t.Errorf("%s: it waits without a report", c.name)
		}
	}
}

// A resource is observed until it is ready. Each change of its state is reported once.
func TestAwait(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		statuses []string
		want     string // in the error; empty: none
		reports  []string
	}{
		{"ready at once", []string{"ready"}, "", nil},
		{"ready in the end", []string{"creating", "creating", "configuring", "creating", "ready"}, "", []string{"creating", "configuring", "creating"}},
		{"failed", []string{"creating", "failed"}, `it is in the state "failed", and stays there`, []string{"creating", "failed"}},
		{"failed in passing", []string{"failed", "configuring", "failed", "ready"}, "", []string{"failed", "configuring", "failed"}},
		{"unreadable", []string{"creating", ""}, "broken", []string{"creating"}},
		{"never", []string{"creating"}, "waiting until it is ready or running, while it is creating: ended by the test", []string{"creating"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, end := context.WithCancelCause(t.Context())
			cloud := &Cloud{options: Options{PollFirst: time.Millisecond, PollLongest: 2 * time.Millisecond, Settle: 5 * time.Millisecond}}
			looks, reports := 0, []string(nil)
			_, err := await(ctx, cloud, func(status string) { reports = append(reports, status) }, func(context.Context) (int, string, error) {
				status := next(c.statuses, looks)
				looks++
				if looks == 20 {
					end(errEnd)
				}
				if status == "" {
					return 0, "", errBroken
				}
				return looks, status, nil
			}, []string{"ready", "running"}, []string{"failed"})
			if (err == nil) != (c.want == "") || (err != nil && !strings.Contains(err.Error(), c.want)) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
			if diff := cmp.Diff(c.reports, reports); diff != "" {
				t.Errorf("reports: -want +got\n%s", diff)
			}
		})
	}
}

// flexibleIP creates an address with a role at the fake.
func flexibleIP(t *testing.T, cloud *Cloud, role string) string {
	t.Helper()
	made, err := cloud.instance.CreateIP(&instance.CreateIPRequest{
		Zone: cloud.zone, Project: &cloud.project, Tags: cloud.tags(role), Type: instance.IPTypeRoutedIPv4,
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.IP.ID
}

// The Instance API does not report the ages of addresses. If there are several
// addresses for one role, IPAM is asked for the ages; otherwise it is not.
func TestAgesOfAddresses(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	cloud := f.cloud(t.Context(), t, newSpec(t))
	shared := flexibleIP(t, cloud, stack.RoleShared)
	flexibleIP(t, cloud, stack.RoleTenant("client-b"))
	f.ResetCount()
	for _, address := range must[[]*stack.FlexibleIP](t)(cloud.findFlexibleIPs(t.Context(), cloud.zone)) {
		if !address.CreatedAt.IsZero() {
			t.Errorf("the age of %s is requested, which is the only address for its role", address.ID)
		}
	}
	if asksIPAM(f) {
		t.Error("IPAM is asked without need")
	}

	flexibleIP(t, cloud, stack.RoleShared)
	flexibleIP(t, cloud, stack.RoleShared)
	found := must[[]*stack.FlexibleIP](t)(cloud.findFlexibleIPs(t.Context(), cloud.zone))
	if len(found) != 4 || !asksIPAM(f) {
		t.Fatalf("%d addresses, IPAM is asked: %t", len(found), asksIPAM(f))
	}
	found = slices.DeleteFunc(found, func(a *stack.FlexibleIP) bool { return a.Role != stack.RoleShared })
	slices.Reverse(found)
	stack.SortByAge(found)
	if found[0].ID != shared || !found[0].CreatedAt.Before(found[2].CreatedAt) {
		t.Errorf("the oldest is %+v, want %s", found[0], shared)
	}
	r := &stack.FlexibleIP{Role: stack.RoleShared, Zone: "fr-par-1"}
	if err := cloud.createFlexibleIP(t.Context(), r, silent); err != nil || r.ID != shared {
		t.Errorf("%v, and %s is adopted instead of the oldest, %s", err, r.ID, shared)
	}
	f.SetFaults([]scwfake.Fault{{Path: "/ipam/", Kind: scwfake.FaultPermissionsDenied}})
	if err := cloud.createFlexibleIP(t.Context(), r, silent); err == nil || !strings.Contains(explain(err, stack.KindFlexibleIP).Error(), "IPAMFullAccess") {
		t.Errorf("without IPAM's permission: %v", err)
	}
}

func asksIPAM(f *fake) bool {
	return slices.ContainsFunc(f.Calls(), func(c scwfake.Call) bool { return strings.HasPrefix(c.Path, "/ipam/") })
}

// An address that IPAM does not list is gone, unless IPAM lists no addresses at all.
func TestAddressesUnknownToIPAM(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, ipam string
		want       []string
	}{
		{"one is gone", `{"total_count": 1, "ips": [{"id": "ipam-b", "address": "203.0.113.2/32", "created_at": "2026-01-01T00:00:00Z"}]}`, []string{"b"}},
		{"nothing is known", `{"total_count": 0, "ips": []}`, []string{"a", "b"}},
	} {
		cloud := at(t.Context(), t, impatient(), func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/ipam/") {
				answer(http.StatusOK, c.ipam)(w, r)
				return
			}
			const one = `{"id": %q, "address": "203.0.113.1", "project": %q, "tags": ["egress-scw=test", "egress-scw-role=shared"], "ipam_id": %q}`
			address := func(id string) string { return fmt.Sprintf(one, id, scwfake.DefaultProjectID, "ipam-"+id) }
			answer(http.StatusOK, `{"ips": [`+address("a")+`, `+address("b")+`]}`)(w, r)
		})
		var ids []string
		for _, address := range must[[]*stack.FlexibleIP](t)(cloud.findFlexibleIPs(t.Context(), cloud.zone)) {
			ids = append(ids, address.ID)
		}
		if diff := cmp.Diff(c.want, ids); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.name, diff)
		}
	}
}
