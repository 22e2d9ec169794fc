package admission

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/netpol"
	"egress.scw/webhook/settings"
)

// The fixtures of the admission tests. They do not use controller-runtime's fake
// client, which would distort the benchmarks: it encodes and decodes at every
// read, where an informer's cache only looks up.

// store contains the objects of a cache, or of the API server. Like an informer's
// cache, it returns its own objects to readers that disable the deep copy.
type store struct {
	namespaces map[string]*corev1.Namespace
	tenants    map[string]*v1alpha1.EgressTenant
	policies   map[string]*networkingv1.NetworkPolicy
	fail       error // of every read of namespaces and tenants
	failTenant error // of every read of tenants
	failPolicy error // of every read of policies
	reads      atomic.Int64
}

func newStore(objects ...client.Object) *store {
	s := &store{
		namespaces: make(map[string]*corev1.Namespace),
		tenants:    make(map[string]*v1alpha1.EgressTenant),
		policies:   make(map[string]*networkingv1.NetworkPolicy),
	}
	for _, object := range objects {
		switch object := object.(type) {
		case *corev1.Namespace:
			s.namespaces[object.Name] = object
		case *v1alpha1.EgressTenant:
			s.tenants[object.Name] = object
		case *networkingv1.NetworkPolicy:
			s.policies[object.Namespace] = object
		}
	}
	return s
}

func (s *store) Get(_ context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	s.reads.Add(1)
	failure := s.fail
	switch object.(type) {
	case *networkingv1.NetworkPolicy:
		failure = s.failPolicy
	case *v1alpha1.EgressTenant:
		failure = errors.Join(failure, s.failTenant)
	}
	if failure != nil {
		return failure
	}
	var opts client.GetOptions
	opts.ApplyOptions(options)
	shared := opts.UnsafeDisableDeepCopy != nil && *opts.UnsafeDisableDeepCopy
	switch object := object.(type) {
	case *corev1.Namespace:
		return give(s.namespaces[key.Name], object, (*corev1.Namespace).DeepCopyInto, key, "namespaces", shared)
	case *v1alpha1.EgressTenant:
		return give(s.tenants[key.Name], object, (*v1alpha1.EgressTenant).DeepCopyInto, key, "egresstenants", shared)
	case *networkingv1.NetworkPolicy:
		return give(s.policies[key.Namespace], object, (*networkingv1.NetworkPolicy).DeepCopyInto, key, "networkpolicies", shared)
	}
	return apierrors.NewBadRequest("no such type here")
}

func give[T any](known, object *T, deepCopy func(*T, *T), key client.ObjectKey, resource string, shared bool) error {
	switch {
	case known == nil:
		return apierrors.NewNotFound(schema.GroupResource{Resource: resource}, key.Name)
	case shared:
		*object = *known
	default:
		deepCopy(known, object)
	}
	return nil
}

func (s *store) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	s.reads.Add(1)
	if s.fail != nil {
		return s.fail
	}
	var items []runtime.Object
	for _, tenant := range s.tenants {
		items = append(items, tenant)
	}
	return meta.SetList(list, items)
}

// ensured is a call of fakePolicies.Ensure.
type ensured struct {
	namespace, tenant string
	dryRun            bool
}

// fakePolicies records its calls, and returns the error fail.
type fakePolicies struct {
	calls []ensured
	fail  error
}

func (*fakePolicies) Build(_ context.Context, tenant *v1alpha1.EgressTenant, namespace string) (*networkingv1.NetworkPolicy, error) {
	return netpol.Build(tenant, namespace, exampleSettings()), nil
}

func (p *fakePolicies) Ensure(_ context.Context, namespace string, tenant *v1alpha1.EgressTenant, dryRun bool) error {
	p.calls = append(p.calls, ensured{namespace, tenant.Name, dryRun})
	return p.fail
}

// fakeNeighbours returns the same neighbours for every namespace, or the error.
type fakeNeighbours struct {
	neighbours *inject.Neighbours
	fail       error
}

func (n *fakeNeighbours) Of(context.Context, string, string) (*inject.Neighbours, error) {
	return n.neighbours, n.fail
}

// neighboursFixture are those of a namespace with some Services.
func neighboursFixture() *fakeNeighbours {
	return &fakeNeighbours{neighbours: &inject.Neighbours{
		Namespaces: []string{"billing", "payments"},
		Services: []inject.Service{
			{Name: "backend", ClusterIPs: []string{"10.32.4.20"}}, {Name: "cache", ClusterIPs: []string{"None"}}, {Name: "frontend", ClusterIPs: []string{"10.32.4.21"}},
		},
	}}
}

// admissionTest is a handler with its dependencies, which may be changed before
// the first request.
type admissionTest struct {
	cache, live *store
	policies    *fakePolicies
	neighbours  *fakeNeighbours
	log         *bytes.Buffer
	registry    *prometheus.Registry
	options     Options
	handler     *Handler
}

// newAdmissionTest returns a handler whose cache and API server have the
// namespaces "orders" of tenant "client-a", "quiet" of the same without injection, and
// "plain" without a tenant. There are no policies.
func newAdmissionTest(t testing.TB) *admissionTest {
	t.Helper()
	quiet := namespaceFixture("quiet", "client-a")
	quiet.Labels[names.LabelInject] = "false"
	withSidecars := tenantFixture("client-s", 3130)
	withSidecar(withSidecars)
	objects := []client.Object{
		namespaceFixture("orders", "client-a"), quiet, namespaceFixture("plain", ""), tenantFixture("client-a", 3129),
		namespaceFixture("sidecars", "client-s"), withSidecars,
	}
	a := &admissionTest{
		cache: newStore(objects...), live: newStore(objects...),
		policies: &fakePolicies{}, neighbours: neighboursFixture(), log: &bytes.Buffer{}, registry: prometheus.NewRegistry(),
	}
	a.options = Options{
		Cluster: injectCluster(t), Settings: exampleSettings(), Cache: a.cache, Live: a.live, Policies: a.policies, Neighbours: a.neighbours,
		Budget:  NewBudget(0),
		Logger:  slog.New(slog.NewJSONHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics: a.registry,
	}
	handler, err := NewHandler(a.options)
	if err != nil {
		t.Fatal(err)
	}
	a.handler = handler
	return a
}

// checkLogged requires that the last line of the log has the reason.
func checkLogged(t *testing.T, log *bytes.Buffer, reason names.Reason) {
	t.Helper()
	lines := bytes.Split(bytes.TrimSpace(log.Bytes()), []byte("\n"))
	var record struct{ Reason names.Reason }
	if err := json.Unmarshal(lines[len(lines)-1], &record); err != nil {
		t.Fatalf("%v in %q", err, lines)
	}
	if record.Reason != reason {
		t.Errorf("the reason in the log is %q, want %q: %s", record.Reason, reason, lines[len(lines)-1])
	}
}

// exampleSettings are the settings of a Kapsule cluster.
func exampleSettings() *settings.Settings {
	proxy := netip.MustParseAddr("172.16.28.8")
	return &settings.Settings{
		Proxy: settings.Proxy{
			Addresses: []netip.Addr{proxy}, Identity: v1alpha1.IdentityOffered, Machines: []settings.Machine{{Address: proxy, Certificate: "certificate"}},
		},
		Sidecar: settings.Sidecar{Image: "registry.example/egress-sidecar:v1.2.3"},
		Cluster: settings.Cluster{Domain: "cluster.local", CIDRs: []netip.Prefix{
			netip.MustParsePrefix("10.32.0.0/20"), netip.MustParsePrefix("100.64.0.0/15"), netip.MustParsePrefix("172.16.0.0/22"),
		}},
		DNS: settings.DNS{
			Pods: []settings.DNSPods{{Namespace: "kube-system", PodLabels: map[string]string{"k8s-app": "kube-dns"}, Ports: []uint16{53}}},
			Closed: &settings.ClosedDNS{
				Address: netip.MustParseAddr("10.32.0.11"),
				Pods:    settings.DNSPods{Namespace: "egress-system", PodLabels: map[string]string{"app": "closed-dns"}, Ports: []uint16{53}},
			},
		},
		ProtectedNamespaces: sets.New("kube-system", "pki"),
	}
}

func tenantFixture(name string, port int32) *v1alpha1.EgressTenant {
	return &v1alpha1.EgressTenant{
		ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 1},
		Spec:       v1alpha1.EgressTenantSpec{Path: v1alpha1.PathProxy, Proxy: &v1alpha1.TenantProxy{Port: port}},
	}
}

// namespaceFixture has the label of the tenant, unless the tenant is empty.
func namespaceFixture(name, tenant string) *corev1.Namespace {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if tenant != "" {
		namespace.Labels = map[string]string{names.LabelTenant: tenant}
	}
	return namespace
}

// policyFixture is the NetworkPolicy that the tenant requires in the namespace
// orders, as the API server
// returns it.
func policyFixture(tenant *v1alpha1.EgressTenant) *networkingv1.NetworkPolicy {
	policy := netpol.Build(tenant, "orders", exampleSettings())
	policy.UID, policy.ResourceVersion = "0b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9", "1"
	return policy
}

func injectCluster(t testing.TB) *inject.Cluster {
	t.Helper()
	apiServer, err := noproxy.Parse("10.32.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := inject.NewCluster(exampleSettings(), apiServer, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	return cluster
}

const testUID = "705ab4f5-6393-11e8-b7cc-42010a800002"

const simplePod = `{"metadata":{"generateName":"web-"},"spec":{"containers":[{"name":"web"}]}}`

// reviewOf returns the AdmissionReview of a pod that is created in the namespace
// "orders", with the changes.
func reviewOf(t testing.TB, pod string, changes ...func(*admissionv1.AdmissionRequest)) []byte {
	t.Helper()
	dryRun := false
	request := &admissionv1.AdmissionRequest{
		UID:             testUID,
		Kind:            metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
		Resource:        metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		RequestKind:     &metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
		RequestResource: &metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		Namespace:       "orders",
		Operation:       admissionv1.Create,
		Object:          runtime.RawExtension{Raw: []byte(pod)},
		DryRun:          &dryRun,
		Options:         runtime.RawExtension{Raw: []byte(`{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}`)},
	}
	request.UserInfo.Username = "system:serviceaccount:kube-system:replicaset-controller"
	request.UserInfo.UID = "a7b8f0c5-7d1c-4f0e-8a53-0a3c5a1f0b11"
	request.UserInfo.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"}
	for _, change := range changes {
		change(request)
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{Kind: "AdmissionReview", APIVersion: "admission.k8s.io/v1"},
		Request:  request,
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func inNamespace(name string) func(*admissionv1.AdmissionRequest) {
	return func(r *admissionv1.AdmissionRequest) { r.Namespace = name }
}

func post(handler http.Handler, body []byte) *httptest.ResponseRecorder {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, names.PodHandlerPath, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

// answer posts a review, and returns the response in the AdmissionReview that
// must answer it.
func (a *admissionTest) answer(t *testing.T, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	recorder := post(a.handler, body)
	if recorder.Code != http.StatusOK {
		t.Fatalf("status %d: %s", recorder.Code, recorder.Body)
	}
	if got := recorder.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
	var review admissionv1.AdmissionReview
	decoder := json.NewDecoder(recorder.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&review); err != nil {
		t.Fatal(err)
	}
	if review.Kind != "AdmissionReview" || review.APIVersion != "admission.k8s.io/v1" || review.Response == nil || review.Response.UID != testUID {
		t.Fatalf("the answer is not an AdmissionReview of the request: %+v", review)
	}
	if (review.Response.PatchType != nil) != (len(review.Response.Patch) > 0) {
		t.Errorf("patch type %v with a patch of %d bytes", review.Response.PatchType, len(review.Response.Patch))
	}
	return review.Response
}
