package controller

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"

	"egress.scw/webhook/inject"
)

func serviceFixture(namespace, name string, addresses ...string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.ServiceSpec{ClusterIPs: addresses}}
}

// neighboursTest has an API server whose changes the informers report.
type neighboursTest struct {
	*Neighbours
	server                         *api
	namespaceEvents, serviceEvents *controllertest.FakeInformer
}

func newNeighboursTest(t *testing.T, objects ...client.Object) *neighboursTest {
	t.Helper()
	server := newAPI(t, objects...)
	informers := &informertest.FakeInformers{Scheme: server.Scheme()}
	neighbours, err := NewNeighbours(t.Context(), informers, server, protectedFixture())
	if err != nil {
		t.Fatal(err)
	}
	n := &neighboursTest{Neighbours: neighbours, server: server}
	if n.namespaceEvents, err = informers.FakeInformerFor(t.Context(), &corev1.Namespace{}); err != nil {
		t.Fatal(err)
	}
	if n.serviceEvents, err = informers.FakeInformerFor(t.Context(), &corev1.Service{}); err != nil {
		t.Fatal(err)
	}
	return n
}

// ofOrders returns the neighbours of the namespace orders of client-a.
func (n *neighboursTest) ofOrders(t *testing.T) *inject.Neighbours {
	t.Helper()
	found, err := n.Of(t.Context(), "client-a", "orders")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestNeighboursFollow: after every change, the neighbours are the present ones, and
// without a change they are the same object.
func TestNeighboursFollow(t *testing.T) {
	t.Parallel()
	n := newNeighboursTest(t,
		namespaceFixture("orders", "client-a"), namespaceFixture("payments", "client-a"), namespaceFixture("pki", "client-a"),
		namespaceFixture("billing", "client-b"), namespaceFixture("plain", ""),
		serviceFixture("orders", "backend", "10.32.4.20"), serviceFixture("billing", "other", "10.32.4.9"))
	labelled := namespaceFixture("billing", "client-a")
	for _, step := range []struct {
		what   string
		change func() error
		want   *inject.Neighbours
	}{
		{
			"at first", func() error { return nil },
			&inject.Neighbours{Namespaces: []string{"payments"}, Services: []inject.Service{{Name: "backend", ClusterIPs: []string{"10.32.4.20"}}}},
		},
		{
			"a Service is created", func() error {
				created := serviceFixture("orders", "api", "10.32.4.21")
				defer n.serviceEvents.Add(created)
				return n.server.Create(t.Context(), created.DeepCopy())
			},
			&inject.Neighbours{Namespaces: []string{"payments"}, Services: []inject.Service{{Name: "api", ClusterIPs: []string{"10.32.4.21"}}, {Name: "backend", ClusterIPs: []string{"10.32.4.20"}}}},
		},
		{
			"a Service is deleted", func() error {
				deleted := serviceFixture("orders", "backend", "10.32.4.20")
				defer n.serviceEvents.Delete(deleted)
				return n.server.Delete(t.Context(), deleted.DeepCopy())
			},
			&inject.Neighbours{Namespaces: []string{"payments"}, Services: []inject.Service{{Name: "api", ClusterIPs: []string{"10.32.4.21"}}}},
		},
		{
			"a namespace gets the label", func() error {
				defer n.namespaceEvents.Update(namespaceFixture("billing", "client-b"), labelled)
				return n.server.Update(t.Context(), labelled.DeepCopy())
			},
			&inject.Neighbours{Namespaces: []string{"billing", "payments"}, Services: []inject.Service{{Name: "api", ClusterIPs: []string{"10.32.4.21"}}}},
		},
		{
			"a namespace is deleted", func() error {
				defer n.namespaceEvents.Delete(labelled)
				return n.server.Delete(t.Context(), labelled.DeepCopy())
			},
			&inject.Neighbours{Namespaces: []string{"payments"}, Services: []inject.Service{{Name: "api", ClusterIPs: []string{"10.32.4.21"}}}},
		},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		got := n.ofOrders(t)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.what, diff)
		}
		if n.ofOrders(t) != got {
			t.Errorf("%s: computed again without a change", step.what)
		}
	}
}

// TestNeighboursIgnoreOtherChanges: updates that change neither a label nor an address
// do not make the templates of admission outdated.
func TestNeighboursIgnoreOtherChanges(t *testing.T) {
	t.Parallel()
	n := newNeighboursTest(t, namespaceFixture("orders", "client-a"), serviceFixture("orders", "backend", "10.32.4.20"))
	before := n.ofOrders(t)
	n.serviceEvents.Update(serviceFixture("orders", "backend", "10.32.4.20"), serviceFixture("orders", "backend", "10.32.4.20"))
	n.serviceEvents.Add(serviceFixture("billing", "other", "10.32.4.9"))
	n.namespaceEvents.Update(namespaceFixture("orders", "client-a"), namespaceFixture("orders", "client-a"))
	n.namespaceEvents.Add(namespaceFixture("plain", ""))
	if n.ofOrders(t) != before {
		t.Error("computed again")
	}
	n.serviceEvents.Update(serviceFixture("orders", "backend", "10.32.4.20"), serviceFixture("orders", "backend", "10.32.4.30"))
	if n.ofOrders(t) == before {
		t.Error("another address is not noticed")
	}
	before = n.ofOrders(t)
	onChange(n.serviceChanged, sameAddresses).OnDelete(toolscache.DeletedFinalStateUnknown{Obj: serviceFixture("orders", "backend")})
	if n.ofOrders(t) == before {
		t.Error("a deletion that the watch has missed is not noticed")
	}
}

// TestNeighboursChangeMeanwhile: a value that was computed before a change is not kept.
func TestNeighboursChangeMeanwhile(t *testing.T) {
	t.Parallel()
	var m memo[string, int]
	_, changes, _ := m.get("a")
	m.forget("b")
	m.put("a", 1, changes)
	if _, _, ok := m.get("a"); ok {
		t.Error("the value is kept")
	}
	_, changes, _ = m.get("a")
	m.put("a", 2, changes)
	if value, _, ok := m.get("a"); !ok || value != 2 {
		t.Errorf("the value is %d, kept: %t", value, ok)
	}
	m.clear()
	if _, _, ok := m.get("a"); ok {
		t.Error("the value is kept after everything was forgotten")
	}
}

func TestNewNeighboursFails(t *testing.T) {
	t.Parallel()
	failure := errors.New("connection refused")
	server := newAPI(t)
	if _, err := NewNeighbours(t.Context(), &informertest.FakeInformers{Scheme: server.Scheme(), Error: failure}, server, nil); !errors.Is(err, failure) {
		t.Errorf("error is %v", err)
	}
}

// TestServicesAreReduced: the cache keeps names and addresses of Services.
func TestServicesAreReduced(t *testing.T) {
	t.Parallel()
	service := serviceFixture("orders", "backend", "10.32.4.20")
	service.UID, service.ResourceVersion = "a", "1"
	want := service.DeepCopy()
	service.Labels, service.Annotations = map[string]string{"a": "b"}, map[string]string{"a": "b"}
	service.Spec.Selector, service.Spec.Ports = map[string]string{"a": "b"}, []corev1.ServicePort{{Port: 80}}
	service.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "203.0.113.1"}}
	got, err := keepWhatIsRead(service)
	if diff := cmp.Diff(any(want), got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}
