package scaleway

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/scaleway/scaleway-sdk-go/api/instance/v1"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// machines are replacements in the shared egress.yaml: so many machines, in zones.
func machines(replicas int, zones ...string) []string {
	addresses := []string{"172.16.28.8", "172.16.28.18", "172.16.28.28", "172.16.28.38"}[:replicas]
	return []string{"privateIP: 172.16.28.8", fmt.Sprintf("replicas: %d\n    zones: [%s]\n    privateIPs: [%s]",
		replicas, strings.Join(zones, ", "), strings.Join(addresses, ", "))}
}

// withoutCluster are replacements that leave the cluster out, which no machine depends on.
func withoutCluster(oldnew []string) []string { return append(oldnew, clusterConfig, "") }

// TestMachinesComeAndGo: whatever the number of the machines and their zones were, the
// same resources exist after an apply as after the first one. The resources of other
// owners in all zones stay.
func TestMachinesComeAndGo(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	cloud := f.cloud(t.Context(), t, newSpec(t))
	for _, zone := range within(cloud.region, machineZones()) {
		c := *cloud
		c.zone = zone
		_ = must[*instance.CreateIPResponse](t)(c.instance.CreateIP(&instance.CreateIPRequest{Zone: zone, Project: &c.project, Tags: []string{"egress-scw-role=shared"}}))
		_ = must[*instance.CreateSecurityGroupResponse](t)(c.instance.CreateSecurityGroup(&instance.CreateSecurityGroupRequest{
			Zone: zone, Project: &c.project, Name: "egress-test-proxy", Tags: []string{"egress-scw=other"},
		}))
	}
	before := f.Inventory()

	for _, c := range []struct {
		replicas int
		zones    []string
	}{
		{1, []string{"fr-par-1"}},
		{2, []string{"fr-par-1", "fr-par-2"}}, // one more
		{4, []string{"fr-par-1", "fr-par-2"}},
		{3, []string{"fr-par-1", "fr-par-2"}}, // one fewer
		{2, []string{"fr-par-3", "fr-par-1"}}, // all of them elsewhere
		{1, []string{"fr-par-2"}},             // the others are in zones that egress.yaml does not name any more
		{3, []string{"fr-par-2"}},
	} {
		name := fmt.Sprintf("%d in %v", c.replicas, c.zones)
		spec := newSpec(t, withoutCluster(machines(c.replicas, c.zones...))...)
		cloud := f.cloud(t.Context(), t, spec)
		if _, err := apply(t.Context(), cloud, spec); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := reference(t, spec)
		got := slices.DeleteFunc(scwfake.Summary(f.Inventory()), func(line string) bool {
			return strings.Contains(line, "egress-scw=other") || strings.Contains(line, `["egress-scw-role=shared"]`)
		})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the resources: -want +got\n%s", name, diff)
		}
		requireNothingToDo(t, cloud, spec)
	}
	if err := destroy(t.Context(), cloud, newSpec(t)); err != nil { // with an egress.yaml that names another zone
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, f.Inventory()); diff != "" {
		t.Errorf("left after destroy: -before +after\n%s", diff)
	}
}

// TestFirstMachineStays: nothing of a machine is touched when further ones come and go.
func TestFirstMachineStays(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	one := newSpec(t)
	cloud := f.cloud(t.Context(), t, one)
	applied(t, cloud, one)
	// The private address of a temporary machine is reserved for one machine only.
	withoutSpare := func() []scwfake.Item {
		return slices.DeleteFunc(f.Inventory(), func(i scwfake.Item) bool { return stack.Role(i.Tags) == "proxy-spare" })
	}
	alone := withoutSpare()
	for _, zones := range [][]string{{"fr-par-1"}, {"fr-par-1", "fr-par-2"}} {
		several := newSpec(t, machines(3, zones...)...)
		plan := must[*stack.Plan](t)(apply(t.Context(), cloud, several))
		for _, step := range plan.Steps {
			if step.Action != stack.Create && !step.Temporary {
				t.Errorf("%v: %s", zones, step.ID)
			}
		}
		applied(t, cloud, one)
		if diff := cmp.Diff(alone, withoutSpare()); diff != "" {
			t.Errorf("%v: -before +after\n%s", zones, diff)
		}
	}
}

// TestLostMachineIsMadeAnew: a machine that Scaleway does not have any more is created
// with its addresses by the next apply. The others stay.
func TestLostMachineIsMadeAnew(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t, withoutCluster(machines(2, "fr-par-1", "fr-par-2"))...)
	cloud := f.cloud(t.Context(), t, spec)
	applied(t, cloud, spec)
	want := scwfake.Summary(f.Inventory())
	lost := must[[]*stack.Server](t)(cloud.findServers(t.Context(), "fr-par-2", "proxy-2"))
	if err := cloud.instance.DeleteServer(&instance.DeleteServerRequest{Zone: "fr-par-2", ServerID: lost[0].ID}); err == nil {
		t.Fatal("a running server is deleted")
	}
	if _, err := cloud.instance.ServerAction(&instance.ServerActionRequest{Zone: "fr-par-2", ServerID: lost[0].ID, Action: instance.ServerActionTerminate}); err != nil {
		t.Fatal(err)
	}
	if err := awaitGone(t.Context(), cloud, silent, func(ctx context.Context) (string, error) {
		s, err := cloud.getServer(ctx, "fr-par-2", lost[0].ID)
		if err != nil {
			return "", err
		}
		return s.State.String(), nil
	}); err != nil {
		t.Fatal(err)
	}

	plan := must[*stack.Plan](t)(apply(t.Context(), cloud, spec))
	for _, step := range plan.Steps {
		if !strings.Contains(step.ID, "proxy-2") && step.Kind != stack.KindVolume {
			t.Errorf("%s, which is not about the lost machine", step.ID)
		}
		if step.Kind == stack.KindFlexibleIP {
			t.Errorf("%s: an address that partners know", step.ID)
		}
	}
	if diff := cmp.Diff(want, scwfake.Summary(f.Inventory())); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	requireNothingToDo(t, cloud, spec)
}

// TestSilentZone: a zone whose API does not answer is an error that names it, also one
// that egress.yaml does not name: a machine in it may not be taken for one that does not
// exist.
func TestSilentZone(t *testing.T) {
	t.Parallel()
	spec := newSpec(t, withoutCluster(machines(2, "fr-par-1", "fr-par-2"))...)
	f := serve(t, scwfake.Options{})
	options := impatient()
	options.Tries = 3
	cloud := f.cloudWith(t.Context(), t, spec, options)
	applied(t, cloud, spec)
	for _, silent := range []string{"fr-par-2", "fr-par-3"} {
		for resource, product := range map[string]string{"servers": "instance", "security_groups": "instance", "ips": "instance", "volumes": "block"} {
			if silent == "fr-par-3" && resource != "security_groups" {
				continue // not asked
			}
			path := "/" + product + "/v1/zones/" + silent + "/" + resource
			f.SetFaults([]scwfake.Fault{{Method: http.MethodGet, Path: path, Count: 1 << 20, Kind: scwfake.FaultUnavailable}})
			_, err := cloud.Observe(t.Context(), spec)
			if err == nil || !strings.Contains(err.Error(), "in "+silent+": ") {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// TestRequestsOfFourMachines bounds the requests of a plan without steps, and of what each
// further machine and zone adds.
func TestRequestsOfFourMachines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		zones []string
		most  int
	}{
		{[]string{"fr-par-1"}, 26},
		{[]string{"fr-par-1", "fr-par-2"}, 30},
	} {
		spec := newSpec(t, machines(4, c.zones...)...)
		f := serve(t, scwfake.Options{})
		applied(t, f.cloud(t.Context(), t, spec), spec)
		f.ResetCount()
		requireNothingToDo(t, f.cloud(t.Context(), t, spec), spec)
		if got := f.Requests(); got > c.most {
			t.Errorf("%d requests with four machines in %v, want at most %d: %v", got, c.zones, c.most, f.Calls())
		}
	}
}

// TestInterruptedChangesOfMachines: changes of the number of machines, of their zones and
// of the machines themselves are cancelled, each at its share of the requests: before the
// request takes effect, or afterwards. The next run continues.
func TestInterruptedChangesOfMachines(t *testing.T) {
	t.Parallel()
	changes := []struct {
		name          string
		before, after []string
	}{
		{"one more", machines(1, "fr-par-1"), machines(2, "fr-par-1", "fr-par-2")},
		{"one fewer", machines(2, "fr-par-1", "fr-par-2"), machines(1, "fr-par-1")},
		{"other zones", machines(2, "fr-par-1", "fr-par-2"), machines(2, "fr-par-2", "fr-par-1")},
		{"replaced", machines(2, "fr-par-1", "fr-par-2"), append(machines(2, "fr-par-1", "fr-par-2"), "proxy:\n", "proxy:\n    volumeGB: 30\n")},
		{"the only one replaced", machines(1, "fr-par-1"), append(machines(1, "fr-par-1"), "proxy:\n", "proxy:\n    volumeGB: 30\n")},
	}
	for i, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			before, after := newSpec(t, withoutCluster(c.before)...), newSpec(t, withoutCluster(c.after)...)
			want := reference(t, after)
			eachPosition(t, 1+i, func(t *testing.T, position int) int {
				t.Helper()
				if !interruptedChange(t, position, before, after, want) {
					return 0
				}
				return position + len(changes) - 1
			})
		})
	}
}

// TestConcurrentReplacements: at requests of a run that replaces the only machine, another
// run does the same as a whole. A run that loses the temporary machine to the other one may
// fail. The next one leads to the wanted resources.
func TestConcurrentReplacements(t *testing.T) {
	t.Parallel()
	before := newSpec(t, withoutCluster(machines(1, "fr-par-1"))...)
	after := newSpec(t, withoutCluster(append(machines(1, "fr-par-1"), "proxy:\n", "proxy:\n    volumeGB: 30\n"))...)
	want := reference(t, after)
	d := disturbance{
		spec: after, other: applyAll,
		prepare: func(t *testing.T, cloud *Cloud) { t.Helper(); applied(t, cloud, before) },
		run: func(ctx context.Context, cloud *Cloud, spec stack.Spec) error {
			_ = applyAll(ctx, cloud, spec)
			return nil
		},
		check: func(t *testing.T, f *fake, cloud *Cloud, what string) {
			t.Helper()
			requireConverged(t, f, cloud, after, want, what)
		},
	}
	for i, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			d.from(t, when, 20+5*i, 10)
		})
	}
}

// interruptedChange ends an apply at a request. It returns false if the run had fewer
// requests.
func interruptedChange(t *testing.T, position int, before, after stack.Spec, want []string) bool {
	t.Helper()
	stop := &interruption{position: position}
	f := serve(t, stop.options([]string{"after", "before"}[position%2]))
	cloud := f.cloud(t.Context(), t, before)
	applied(t, cloud, before)

	f.ResetCount()
	reached := stop.during(t, func(ctx context.Context) error { return applyAll(ctx, cloud, after) })
	f.settled()
	cloud = f.cloud(t.Context(), t, after)
	requireConverged(t, f, cloud, after, want, fmt.Sprintf("an end at request %d", position))
	return reached
}
