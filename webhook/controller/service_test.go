package controller

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
	"egress.scw/webhook/settings"
)

const releaseNamespace = "egress-system"

// machinesFixture are three machines of the proxy.
func machinesFixture() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("172.16.28.8"), netip.MustParseAddr("172.16.28.9"), netip.MustParseAddr("172.16.28.10")}
}

// spareFixture is the spare machine.
func spareFixture() netip.Addr { return netip.MustParseAddr("172.16.28.70") }

// answering are the machines that answer. Those that are not in the map are not known.
type answering map[string]bool

func (a answering) Answers(machine netip.Addr, _ int32) (answers, known bool) {
	answers, known = a[machine.String()]
	return answers, known
}

func (answering) AnswersSince(netip.Addr) time.Time { return time.Time{} }

// began is when the machines of answering began to answer.
type began struct {
	answering
	since map[string]int
}

func (b began) AnswersSince(machine netip.Addr) time.Time {
	return time.Time{}.Add(time.Duration(b.since[machine.String()]) * time.Second)
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answering answering
		spare     netip.Addr
		since     map[string]int
		present   string
		want      string
		lost      bool
	}{
		"all answer":                         {answering: answering{"172.16.28.8": true, "172.16.28.9": true, "172.16.28.10": true}, want: "8 9 10"},
		"one does not":                       {answering: answering{"172.16.28.8": true, "172.16.28.9": false, "172.16.28.10": true}, present: "8 9 10", want: "8 10"},
		"one answers":                        {answering: answering{"172.16.28.8": false, "172.16.28.9": false, "172.16.28.10": true}, present: "8 9 10", want: "10"},
		"not one answers":                    {answering: answering{"172.16.28.8": false, "172.16.28.9": false, "172.16.28.10": false}, want: "8 9 10", lost: true},
		"no further one answers":             {answering: answering{"172.16.28.8": false, "172.16.28.9": false, "172.16.28.10": false}, present: "9", want: "9", lost: true},
		"it answers again":                   {answering: answering{"172.16.28.8": true, "172.16.28.9": true, "172.16.28.10": true}, present: "8", want: "8 9 10"},
		"nothing is known":                   {want: "8 9 10"},
		"a new leader keeps a machine out":   {present: "8 10", want: "8 10"},
		"a new machine joins when it serves": {answering: answering{"172.16.28.8": true}, present: "8 9", want: "8 9"},
		"other machines than before":         {present: "77", want: "8 9 10", lost: true},
		"the spare does not answer":          {answering: answering{"172.16.28.8": true, "172.16.28.70": false}, spare: spareFixture(), present: "8", want: "8"},
		"the spare begins to answer":         {answering: answering{"172.16.28.8": true, "172.16.28.70": true}, since: map[string]int{"172.16.28.70": 1}, spare: spareFixture(), present: "8 9 10", want: "70"},
		"the first begins to answer":         {answering: answering{"172.16.28.8": true, "172.16.28.70": true}, since: map[string]int{"172.16.28.8": 2, "172.16.28.70": 1}, spare: spareFixture(), present: "70", want: "8"},
		"a new leader finds the first":       {answering: answering{"172.16.28.8": true, "172.16.28.70": true}, spare: spareFixture(), present: "8", want: "8"},
		"a new leader finds the spare":       {answering: answering{"172.16.28.8": true, "172.16.28.70": true}, spare: spareFixture(), present: "70", want: "70"},
		"only the spare answers":             {answering: answering{"172.16.28.8": false, "172.16.28.9": false, "172.16.28.10": false, "172.16.28.70": true}, spare: spareFixture(), present: "8", want: "70"},
		"the spare has gone":                 {answering: answering{"172.16.28.8": true, "172.16.28.70": false}, spare: spareFixture(), present: "70", want: "8"},
		"the spare was the last to answer":   {answering: answering{"172.16.28.8": false, "172.16.28.9": false, "172.16.28.10": false, "172.16.28.70": false}, spare: spareFixture(), present: "70", want: "70", lost: true},
		"nothing is known of the spare":      {spare: spareFixture(), want: "8 9 10"},
		"a new leader keeps the spare":       {spare: spareFixture(), present: "70", want: "70"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var present []netip.Addr
			for number := range strings.FieldsSeq(test.present) {
				present = append(present, netip.MustParseAddr("172.16.28."+number))
			}
			got, found := endpoints(machinesFixture(), test.spare, present, 3129, began{test.answering, test.since})
			var numbers []string
			for _, machine := range got {
				numbers = append(numbers, strings.TrimPrefix(machine.String(), "172.16.28."))
			}
			if list := strings.Join(numbers, " "); list != test.want || found == test.lost {
				t.Errorf("endpoints are %s (found %t), want %s", list, found, test.want)
			}
		})
	}
}

// TestNamesOfServices: a name is valid for a Service, and differs between tenants.
func TestNamesOfServices(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 62)
	for tenant, want := range map[string]string{"client-a": "tenant-client-a", "42": "tenant-42", long + "a": "", long + "b": ""} {
		got := names.TenantService(tenant)
		if len(got) > 63 || want != "" && got != want {
			t.Errorf("the Service of %s is %s", tenant, got)
		}
	}
	if names.TenantService(long+"a") == names.TenantService(long+"b") {
		t.Error("two tenants have one Service")
	}
}

// serviceAPI is an API server that gives addresses to Services, as long as they are free.
type serviceAPI struct {
	*api
	taken map[string]bool
}

func newServiceAPI(t *testing.T, objects ...client.Object) *serviceAPI {
	t.Helper()
	server := &serviceAPI{api: newAPI(t, objects...), taken: map[string]bool{}}
	inner, ok := server.Client.(client.WithWatch)
	if !ok {
		t.Fatal("the fake client watches")
	}
	server.Client = interceptor.NewClient(inner, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, config runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			service, isService := config.(*applycorev1.ServiceApplyConfiguration)
			if !isService {
				return c.Apply(ctx, config, options...)
			}
			if service.Spec.ClusterIP == nil {
				service.Spec.WithClusterIP("10.32.0.77").WithClusterIPs("10.32.0.77")
			}
			if server.taken[*service.Spec.ClusterIP] {
				path := field.NewPath("spec", "clusterIPs")
				return apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, *service.Name, field.ErrorList{field.Invalid(path, *service.Spec.ClusterIP, "provided IP is already allocated")})
			}
			return c.Apply(ctx, config, options...)
		},
	})
	return server
}

// services reconciles client-a with its Service, and returns the reconciler.
type services struct {
	*serviceAPI
	reconciler *TenantReconciler
	answering  answering
}

func newServices(t *testing.T, identity v1alpha1.Identity, objects ...client.Object) *services {
	t.Helper()
	s := &services{serviceAPI: newServiceAPI(t, objects...), answering: answering{}}
	proxy := &settings.Proxy{Addresses: machinesFixture(), Identity: identity}
	s.reconciler = &TenantReconciler{
		Client: s, Policies: NewPolicyApplier(s, settingsFixture()), Protected: protectedFixture(),
		Unsupported: func(*v1alpha1.EgressTenant) *inject.Refusal { return nil },
		DirectURL:   func(*v1alpha1.EgressTenant) string { return "http://172.16.28.8:3129" }, NoProxy: func(*v1alpha1.EgressTenant) string { return "" },
		Services: NewTenantServices(s, releaseNamespace, proxy, s.answering), Events: &recorder{},
	}
	return s
}

// settle reconciles until the status stays as it is, and returns it.
func (s *services) settle(t *testing.T) v1alpha1.EgressTenantStatus {
	t.Helper()
	for range 5 {
		before := s.statusWrites + s.applied + s.deleted
		if _, err := s.reconciler.Reconcile(t.Context(), requestFor("client-a")); err != nil {
			t.Fatal(err)
		}
		if s.statusWrites+s.applied+s.deleted == before {
			return get(t, s.api, "", "client-a", &v1alpha1.EgressTenant{}).Status
		}
	}
	t.Fatal("the reconciler writes every time")
	return v1alpha1.EgressTenantStatus{}
}

func (s *services) service(t *testing.T) *corev1.Service {
	t.Helper()
	return get(t, s.api, releaseNamespace, "tenant-client-a", &corev1.Service{})
}

// endpoints returns the endpoints as "PORT: ADDRESS ADDRESS".
func (s *services) endpoints(t *testing.T) string {
	t.Helper()
	slice := get(t, s.api, releaseNamespace, "tenant-client-a", &discoveryv1.EndpointSlice{})
	if slice.Labels[discoveryv1.LabelServiceName] != "tenant-client-a" || len(slice.Ports) != 1 {
		t.Errorf("the EndpointSlice is %+v", slice)
	}
	var addresses []string
	for _, machine := range addressesIn(slice) {
		addresses = append(addresses, machine.String())
	}
	return strings.Join(addresses, " ")
}

func TestServiceOfATenant(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	tenant.UID = "a"
	s := newServices(t, v1alpha1.IdentityPort, tenant)
	status := s.settle(t)

	if status.ProxyURL != "http://10.32.0.77:3128" || status.ServiceIP != "10.32.0.77" || status.AdmittedPort != 3129 {
		t.Errorf("the status has proxyURL %s, serviceIP %s, admittedPort %d", status.ProxyURL, status.ServiceIP, status.AdmittedPort)
	}
	if got := summary(conditionOf(t, status, names.ConditionServiceReady)); got != "True ServiceReady" {
		t.Errorf("ServiceReady is %s", got)
	}
	service := s.service(t)
	if got := service.Spec.Ports; len(got) != 1 || got[0].Port != 3128 || got[0].TargetPort.IntVal != 3129 || service.Spec.Selector != nil || service.Spec.Type != corev1.ServiceTypeClusterIP {
		t.Errorf("the Service is %+v", service.Spec)
	}
	if owners := service.OwnerReferences; len(owners) != 1 || owners[0].UID != "a" {
		t.Errorf("the owners of the Service are %+v", owners)
	}
	if got := s.endpoints(t); got != "172.16.28.8 172.16.28.9 172.16.28.10" {
		t.Errorf("endpoints are %s", got)
	}

	// A machine that does not answer leaves, and comes back.
	for _, step := range []struct {
		answers bool
		want    string
	}{{false, "172.16.28.8 172.16.28.10"}, {true, "172.16.28.8 172.16.28.9 172.16.28.10"}} {
		s.answering["172.16.28.8"], s.answering["172.16.28.10"], s.answering["172.16.28.9"] = true, true, step.answers
		s.settle(t)
		if got := s.endpoints(t); got != step.want {
			t.Errorf("172.16.28.9 answers: %t, and the endpoints are %s", step.answers, got)
		}
	}

	// The port changes behind the Service.
	stored := get(t, s.api, "", "client-a", &v1alpha1.EgressTenant{})
	stored.Spec.Proxy.Port = 3140
	if err := s.Update(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if after := s.settle(t); after.ServiceIP != "10.32.0.77" || s.service(t).Spec.Ports[0].TargetPort.IntVal != 3140 {
		t.Errorf("after a change of the port, the address is %s", after.ServiceIP)
	}

	// Another path has no Service.
	stored = get(t, s.api, "", "client-a", &v1alpha1.EgressTenant{})
	stored.Spec.Path, stored.Spec.Proxy = v1alpha1.PathGateway, nil
	if err := s.Update(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	if after := s.settle(t); after.ServiceIP != "" || after.ProxyURL != "" || after.AdmittedPort != 0 {
		t.Errorf("with path Gateway, the status is %+v", after)
	}
	if err := s.Get(t.Context(), client.ObjectKeyFromObject(service), &corev1.Service{}); !apierrors.IsNotFound(err) {
		t.Errorf("with path Gateway, the Service is still there (%v)", err)
	}
}

// TestDeletedService: a Service that was deleted comes back with the same address. If
// that was taken meanwhile, the status says so, until it is free.
func TestDeletedService(t *testing.T) {
	t.Parallel()
	s := newServices(t, v1alpha1.IdentityPort, tenantFixture("client-a", 3129))
	s.settle(t)
	if err := s.Delete(t.Context(), s.service(t)); err != nil {
		t.Fatal(err)
	}
	if status := s.settle(t); status.ServiceIP != "10.32.0.77" || s.service(t).Spec.ClusterIP != "10.32.0.77" {
		t.Errorf("the Service came back with %s", s.service(t).Spec.ClusterIP)
	}

	if err := s.Delete(t.Context(), s.service(t)); err != nil {
		t.Fatal(err)
	}
	thief := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIPs: []string{"10.32.0.77"}}}
	thief.Namespace, thief.Name = "web", "thief"
	if err := s.Create(t.Context(), thief); err != nil {
		t.Fatal(err)
	}
	s.taken["10.32.0.77"] = true
	status := s.settle(t)
	condition := conditionOf(t, status, names.ConditionServiceReady)
	if got := summary(condition); got != "False ServiceAddressUnavailable" || !strings.Contains(condition.Message, "delete the Service web/thief") {
		t.Errorf("ServiceReady is %s: %s", got, condition.Message)
	}
	if got := summary(conditionOf(t, status, names.ConditionReady)); got != "False ServiceAddressUnavailable" {
		t.Errorf("Ready is %s", got)
	}
	if status.ProxyURL != "http://172.16.28.8:3129" || status.ServiceIP != "10.32.0.77" {
		t.Errorf("new pods get %s, and the kept address is %s", status.ProxyURL, status.ServiceIP)
	}

	delete(s.taken, "10.32.0.77")
	if status := s.settle(t); status.ProxyURL != "http://10.32.0.77:3128" {
		t.Errorf("with the address free, new pods get %s", status.ProxyURL)
	}

	// Another client creates the Service with another address.
	if err := s.Delete(t.Context(), s.service(t)); err != nil {
		t.Fatal(err)
	}
	other := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.32.0.99"}}
	other.Namespace, other.Name = releaseNamespace, "tenant-client-a"
	if err := s.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if s.settle(t); s.service(t).Spec.ClusterIP != "10.32.0.77" {
		t.Errorf("the address is %s", s.service(t).Spec.ClusterIP)
	}
}

// TestUnlabelledServiceIsRepaired: a Service that lost its label, and is reduced in the
// cache like Services of other clients, is repaired. Without it, nothing would listen at
// the address of the tenant's pods for a moment.
func TestUnlabelledServiceIsRepaired(t *testing.T) {
	t.Parallel()
	s := newServices(t, v1alpha1.IdentityPort, tenantFixture("client-a", 3129))
	s.settle(t)
	unlabelled := s.service(t)
	delete(unlabelled.Labels, names.LabelTenant)
	if err := s.Update(t.Context(), unlabelled); err != nil {
		t.Fatal(err)
	}
	inner, ok := s.Client.(client.WithWatch)
	if !ok {
		t.Fatal("the fake client watches")
	}
	s.Client = interceptor.NewClient(inner, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			err := c.Get(ctx, key, object, options...)
			if service, isService := object.(*corev1.Service); err == nil && isService {
				var cached any
				cached, err = keepServices(releaseNamespace)(service.DeepCopy())
				*service = *cached.(*corev1.Service)
			}
			return err
		},
	})
	before := s.deleted
	s.settle(t)
	if s.deleted != before {
		t.Error("the Service was deleted")
	}
	if repaired := s.service(t); repaired.Labels[names.LabelTenant] != "client-a" || repaired.Spec.ClusterIP != "10.32.0.77" {
		t.Errorf("the Service is %+v", repaired)
	}
}

// TestEditedService: changes of other clients are undone, but those of topology.
func TestEditedService(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*corev1.Service, *discoveryv1.EndpointSlice){
		"selector":         func(s *corev1.Service, _ *discoveryv1.EndpointSlice) { s.Spec.Selector = map[string]string{"app": "x"} },
		"external address": func(s *corev1.Service, _ *discoveryv1.EndpointSlice) { s.Spec.ExternalIPs = []string{"192.0.2.1"} },
		"port":             func(s *corev1.Service, _ *discoveryv1.EndpointSlice) { s.Spec.Ports[0].Port = 80 },
		"label":            func(s *corev1.Service, _ *discoveryv1.EndpointSlice) { delete(s.Labels, names.LabelTenant) },
		"label of another tenant": func(s *corev1.Service, e *discoveryv1.EndpointSlice) {
			s.Labels[names.LabelTenant], e.Labels[names.LabelTenant] = "client-b", "client-b"
		},
		"endpoints":         func(_ *corev1.Service, e *discoveryv1.EndpointSlice) { e.Endpoints[0].Addresses[0] = "192.0.2.1" },
		"port of the slice": func(_ *corev1.Service, e *discoveryv1.EndpointSlice) { e.Ports[0].Port = new(int32(3130)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServices(t, v1alpha1.IdentityPort, tenantFixture("client-a", 3129))
			for _, machine := range machinesFixture() {
				s.answering[machine.String()] = true
			}
			s.settle(t)
			service, slice := s.service(t), get(t, s.api, releaseNamespace, "tenant-client-a", &discoveryv1.EndpointSlice{})
			want, endpoints := service.DeepCopy().Spec, s.endpoints(t)
			edit(service, slice)
			service.Spec.TrafficDistribution = new(corev1.ServiceTrafficDistributionPreferClose)
			if err := s.Update(t.Context(), service); err != nil {
				t.Fatal(err)
			}
			if err := s.Update(t.Context(), slice); err != nil {
				t.Fatal(err)
			}
			s.settle(t)
			want.TrafficDistribution = service.Spec.TrafficDistribution
			if diff := cmp.Diff(want, s.service(t).Spec); diff != "" || s.service(t).Labels[names.LabelTenant] != "client-a" {
				t.Errorf("the Service stays edited (-want +got):\n%s", diff)
			}
			if got := s.endpoints(t); got != endpoints {
				t.Errorf("endpoints are %s", got)
			}
		})
	}
}

// TestServicesThatAreNotWritten: tenants with certificates alone need none, a spec that
// is not valid changes nothing, and the Service of another tenant stays.
func TestServicesThatAreNotWritten(t *testing.T) {
	t.Parallel()
	s := newServices(t, v1alpha1.IdentityRequired, tenantFixture("client-a", 3129))
	if status := s.settle(t); status.ServiceIP != "" || s.applied != 0 {
		t.Errorf("a Service for identity Required: %+v", status)
	}
	s = newServices(t, v1alpha1.IdentityPort, tenantFixture("client-a", 80))
	if status := s.settle(t); status.ServiceIP != "" || s.applied != 0 {
		t.Errorf("a Service for a spec that is not valid: %+v", status)
	}
	foreign := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.32.0.9"}}
	foreign.Namespace, foreign.Name, foreign.Labels = releaseNamespace, "tenant-client-a", map[string]string{names.LabelTenant: "client-b"}
	s = newServices(t, v1alpha1.IdentityPort, tenantFixture("client-a", 3129), foreign)
	if _, err := s.reconciler.Reconcile(t.Context(), requestFor("client-a")); err == nil || !strings.Contains(err.Error(), "belongs to tenant client-b") {
		t.Errorf("error is %v", err)
	}
	if s.service(t).Labels[names.LabelTenant] != "client-b" || s.applied != 0 {
		t.Error("the Service of another tenant was taken over")
	}
	slice := &discoveryv1.EndpointSlice{}
	slice.Namespace, slice.Name, slice.Labels = foreign.Namespace, foreign.Name, foreign.Labels
	s = newServices(t, v1alpha1.IdentityPort, tenantFixture("client-a", 3129), slice)
	if _, err := s.reconciler.Reconcile(t.Context(), requestFor("client-a")); err == nil || !strings.Contains(err.Error(), "belongs to tenant client-b") || s.applied != 0 {
		t.Errorf("the EndpointSlice of another tenant: error %v, %d writes", err, s.applied)
	}
}

// TestServicesWithoutAnAddress: a Service to which pods cannot connect, which another client
// created before, is replaced.
func TestServicesWithoutAnAddress(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]corev1.ServiceSpec{
		"headless":     {ClusterIP: corev1.ClusterIPNone},
		"ExternalName": {Type: corev1.ServiceTypeExternalName, ExternalName: "proxy.example.com"},
	} {
		other := &corev1.Service{Spec: spec}
		other.Namespace, other.Name = releaseNamespace, "tenant-client-a"
		s := newServices(t, v1alpha1.IdentityPort, tenantFixture("client-a", 3129), other)
		if status := s.settle(t); status.ServiceIP != "10.32.0.77" || status.ProxyURL != "http://10.32.0.77:3128" || s.service(t).Spec.ClusterIP != "10.32.0.77" {
			t.Errorf("%s: the status has serviceIP %q, proxyURL %q, and the Service %+v", name, status.ServiceIP, status.ProxyURL, s.service(t).Spec)
		}
	}
}
