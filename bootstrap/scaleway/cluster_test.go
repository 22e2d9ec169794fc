package scaleway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/scaleway/scaleway-sdk-go/api/k8s/v1"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

const (
	poolsOfTheExample = "nodeType: PRO2-XXS, size: 2"
	aclOfTheExample   = "    acl: [198.51.100.0/24]\n"
)

// Changes of one cluster wait for each other. The fake refuses a change while the
// cluster is "updating" from the one before.
func TestClusterChangesOneByOne(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	if _, err := apply(t.Context(), cloud, spec); err != nil {
		t.Fatal(err)
	}
	changed := newSpec(t,
		aclOfTheExample, "    acl: [192.0.2.0/24]\n    autoUpgrade: {day: sunday, startHour: 3}\n    autoscaler: {expander: price}\n",
		poolsOfTheExample, "nodeType: PRO2-XXS, size: 3, labels: {team: core}, taints: [{key: a, effect: PreferNoSchedule}]")
	if _, err := apply(t.Context(), cloud, changed); err != nil {
		t.Fatal(err)
	}
	requireNothingToDo(t, cloud, changed)
	for _, call := range f.Calls() {
		if strings.HasPrefix(call.Path, "/k8s/") && call.Status == http.StatusConflict {
			t.Errorf("%s %s was sent too early", call.Method, call.Path)
		}
	}
	for _, item := range f.Inventory() {
		if item.Kind == "cluster" && item.Status != "ready" {
			t.Errorf("the run ended while the cluster was %s", item.Status)
		}
	}
}

// Changes that the API refuses because of a transient state are repeated.
func TestClusterChangesDuringAnUpdate(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/acls", "/set-labels", "/set-taints", ""} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			refused := 0
			cloud := at(t.Context(), t, impatient(), func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodGet:
					answer(http.StatusOK, `{"id": "one", "status": "ready"}`)(w, r)
				case strings.HasSuffix(r.URL.Path, "/one"+path) && refused < 3:
					refused++
					answer(http.StatusConflict, bodyTransient)(w, r)
				default:
					answer(http.StatusOK, `{"id": "one", "status": "ready"}`)(w, r)
				}
			})
			graph, err := stack.Desired(newSpec(t))
			if err != nil {
				t.Fatal(err)
			}
			changes := []stack.Change{{Field: "acl"}, {Field: "name"}, {Field: "labels"}, {Field: "taints"}, {Field: "size"}}
			for _, r := range graph.Resources() {
				r.Meta().ID = "one"
				if kind := r.Key().Kind; kind != stack.KindCluster && kind != stack.KindPool {
					continue
				}
				if err := cloud.Update(t.Context(), r, changes, silent); err != nil {
					t.Error(err)
				}
			}
			if refused != 3 {
				t.Errorf("%d requests were refused", refused)
			}
		})
	}
}

// A rule that admits all of Scaleway is a difference, and goes away.
func TestScalewayRangesInTheACL(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	made, err := apply(t.Context(), cloud, spec)
	if err != nil {
		t.Fatal(err)
	}
	_, err = cloud.k8s.SetClusterACLRules(&k8s.SetClusterACLRulesRequest{
		Region: cloud.region, ClusterID: made.Graph.Cluster.ID,
		ACLs: []*k8s.ACLRuleRequest{{IP: new(ipNet(made.Graph.Cluster.ACL[0]))}, {ScalewayRanges: new(true)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.awaitCluster(t.Context(), made.Graph.Cluster.ID, silent); err != nil {
		t.Fatal(err)
	}
	second, err := apply(t.Context(), cloud, spec)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"update cluster; acl: 198.51.100.0/24, all addresses of Scaleway -> 198.51.100.0/24"}
	if diff := cmp.Diff(want, stepsOf(second)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	requireNothingToDo(t, cloud, spec)
}

// A pool of a fixed size that changes has the bounds of a new pool of that size.
func TestBoundsOfAResizedPool(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{"smaller": "size: 1", "larger": "size: 5", "autoscaling": "autoscaling: {min: 4, max: 6}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := serve(t, scwfake.Options{})
			spec := newSpec(t, poolsOfTheExample, "nodeType: PRO2-XXS, "+before)
			cloud := f.cloud(t.Context(), t, spec)
			if _, err := apply(t.Context(), cloud, spec); err != nil {
				t.Fatal(err)
			}
			changed := newSpec(t)
			if _, err := apply(t.Context(), cloud, changed); err != nil {
				t.Fatal(err)
			}
			requireNothingToDo(t, cloud, changed)
			for _, item := range f.Inventory() {
				if d := item.Details; item.Kind == "pool" && item.Name == "system" && (d["size"] != "2" || d["min_size"] != "0" || d["max_size"] != "2") {
					t.Errorf("size %s, between %s and %s", d["size"], d["min_size"], d["max_size"])
				}
			}
		})
	}
}

// A cluster without a version gets the newest one that the API offers. A deprecated one
// is refused before the first change, although the API still lists it.
func TestVersionOfANewCluster(t *testing.T) {
	t.Parallel()
	f := serve(t, scwfake.Options{})
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	list, err := cloud.k8s.ListVersions(&k8s.ListVersionsRequest{Region: cloud.region})
	if err != nil {
		t.Fatal(err)
	}
	oldest := list.Versions[len(list.Versions)-1].Name
	_, err = apply(t.Context(), cloud, newSpec(t, aclOfTheExample, aclOfTheExample+"    version: \""+oldest+"\"\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "spec.cluster.version: Scaleway creates no clusters with Kubernetes "+oldest+" any more (deprecated since ") {
		t.Errorf("%s: %v", oldest, err)
	}
	if made := f.Inventory(); len(made) > 0 {
		t.Errorf("resources were made: %v", made)
	}
	if _, err := apply(t.Context(), cloud, spec); err != nil {
		t.Fatal(err)
	}
	for _, item := range f.Inventory() {
		if want := `"` + list.Versions[0].Name + `"`; item.Kind == "cluster" && item.Details["version"] != want {
			t.Errorf("the cluster has the version %s, want %s", item.Details["version"], want)
		}
	}
}

// The network of a cluster may have other users, or another owner: it is not deleted with
// the cluster.
func TestDeletedClusterLeavesItsNetwork(t *testing.T) {
	t.Parallel()
	var deletions []string
	cloud := at(t.Context(), t, impatient(), func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			deletions = append(deletions, r.URL.Query().Get("with_additional_resources"))
			answer(http.StatusOK, `{"id": "one", "status": "deleting"}`)(w, r)
			return
		}
		answer(http.StatusNotFound, bodyNotFound)(w, r)
	})
	if err := cloud.Delete(t.Context(), &stack.Cluster{ResourceMeta: stack.ResourceMeta{ID: "one"}}, silent); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"false"}, deletions); diff != "" {
		t.Errorf("additional resources: -want +got\n%s", diff)
	}
}
