package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// proxyURL waits until a tenant has its Service, and returns the value of HTTP_PROXY in
// the tenant's new pods.
func proxyURL(t *testing.T, name string) string {
	t.Helper()
	var url string
	eventually(t, "the Service of "+name, func(ctx context.Context) (bool, string) {
		var tenant v1alpha1.EgressTenant
		if err := shared.client.Get(ctx, client.ObjectKey{Name: name}, &tenant); err != nil {
			return false, err.Error()
		}
		address := tenant.ServiceAddress()
		url = fmt.Sprintf("http://%s:3128", address)
		return address != "" && tenant.Status.ProxyURL == url, fmt.Sprintf("%+v", tenant.Status)
	})
	return url
}

func serviceOf(t *testing.T, tenant string) *corev1.Service {
	t.Helper()
	service := &corev1.Service{}
	if err := shared.client.Get(t.Context(), client.ObjectKey{Namespace: releaseNamespace, Name: names.TenantService(tenant)}, service); err != nil {
		t.Fatal(err)
	}
	return service
}

// waitService waits until the tenant's Service has the address, and the endpoints of
// the tenant's port.
func waitService(t *testing.T, tenant *v1alpha1.EgressTenant, address string) {
	t.Helper()
	key := client.ObjectKey{Namespace: releaseNamespace, Name: names.TenantService(tenant.Name)}
	eventually(t, "the Service of "+tenant.Name+" with "+address, func(ctx context.Context) (bool, string) {
		var service corev1.Service
		var slice discoveryv1.EndpointSlice
		if err := client.IgnoreNotFound(shared.client.Get(ctx, key, &service)); err != nil {
			return false, err.Error()
		}
		if err := client.IgnoreNotFound(shared.client.Get(ctx, key, &slice)); err != nil {
			return false, err.Error()
		}
		leads := len(slice.Endpoints) == 1 && slice.Endpoints[0].Addresses[0] == proxyAddress &&
			len(slice.Ports) == 1 && *slice.Ports[0].Port == tenant.Spec.ProxyPort()
		return leads && service.Spec.ClusterIP == address && len(service.Spec.Selector) == 0, fmt.Sprintf("%+v %+v", service.Spec, slice)
	})
}

// TestServiceComesBack: a tenant's Service leads to its port of the proxy, follows it, is
// restored with its address when it is edited or deleted, and ends with the tenant.
func TestServiceComesBack(t *testing.T) {
	object := tenant("service-back", 3241)
	tenant := &object
	createTenant(t, tenant)
	url := proxyURL(t, tenant.Name)
	address := serviceOf(t, tenant.Name).Spec.ClusterIP
	if url != "http://"+address+":3128" {
		t.Errorf("pods get %s, and the Service has %s", url, address)
	}
	waitService(t, tenant, address)

	edited := serviceOf(t, tenant.Name)
	edited.Spec.Selector, edited.Spec.Ports[0].TargetPort = map[string]string{"app": "x"}, intstr.FromInt32(80)
	if err := shared.client.Update(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	waitService(t, tenant, address)

	unlabelled := serviceOf(t, tenant.Name)
	if err := shared.client.Patch(t.Context(), unlabelled.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":null}}`))); err != nil {
		t.Fatal(err)
	}
	repaired := &corev1.Service{}
	eventually(t, "the label of the Service", func(ctx context.Context) (bool, string) {
		err := shared.client.Get(ctx, client.ObjectKeyFromObject(unlabelled), repaired)
		return err == nil && repaired.Labels[names.LabelTenant] == tenant.Name, fmt.Sprintf("%+v, error %v", repaired.ObjectMeta, err)
	})
	if repaired.UID != unlabelled.UID {
		t.Error("the Service was deleted and created again, and had no endpoints meanwhile")
	}

	for range 2 {
		gone := serviceOf(t, tenant.Name)
		if err := shared.client.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
		waitService(t, tenant, address)
	}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: releaseNamespace, Name: names.TenantService(tenant.Name)}}
	if err := shared.client.Delete(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	waitService(t, tenant, address)

	if err := shared.client.Get(t.Context(), client.ObjectKeyFromObject(tenant), tenant); err != nil {
		t.Fatal(err)
	}
	before := tenant.DeepCopy()
	tenant.Spec.Proxy.Port = 3242
	if err := shared.client.Patch(t.Context(), tenant, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	waitService(t, tenant, address)

	if err := shared.client.Delete(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the Service", func(ctx context.Context) (bool, string) {
		err := shared.client.Get(ctx, client.ObjectKey{Namespace: releaseNamespace, Name: names.TenantService(tenant.Name)}, &corev1.Service{})
		return apierrors.IsNotFound(err), fmt.Sprint(err)
	})
}

// TestServiceAddressIsTaken: while another Service has the address, the status names it.
func TestServiceAddressIsTaken(t *testing.T) {
	object := tenant("service-taken", 3243)
	tenant := &object
	createTenant(t, tenant)
	proxyURL(t, tenant.Name)
	first := serviceOf(t, tenant.Name)
	namespace := newNamespace(t, "")
	thief := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "thief"}, Spec: corev1.ServiceSpec{
		ClusterIP: first.Spec.ClusterIP, Ports: []corev1.ServicePort{{Port: 80}},
	}}
	eventually(t, "the address to be taken", func(ctx context.Context) (bool, string) {
		// The webhook is faster, mostly.
		if err := client.IgnoreNotFound(shared.client.Delete(ctx, first.DeepCopy())); err != nil {
			return false, err.Error()
		}
		err := shared.client.Create(ctx, thief.DeepCopy())
		return err == nil, fmt.Sprint(err)
	})
	waitReason := func(status metav1.ConditionStatus, reason names.Reason) {
		t.Helper()
		eventually(t, string(reason), func(ctx context.Context) (bool, string) {
			var got v1alpha1.EgressTenant
			if err := shared.client.Get(ctx, client.ObjectKeyFromObject(tenant), &got); err != nil {
				return false, err.Error()
			}
			for _, condition := range got.Status.Conditions {
				if condition.Type == names.ConditionServiceReady {
					return condition.Status == status && condition.Reason == string(reason), condition.Message
				}
			}
			return false, "no condition"
		})
	}
	waitReason(metav1.ConditionFalse, names.ReasonServiceAddressUnavailable)
	if err := shared.client.Delete(t.Context(), thief); err != nil {
		t.Fatal(err)
	}
	waitReason(metav1.ConditionTrue, names.ReasonServiceReady)
	if got := serviceOf(t, tenant.Name).Spec.ClusterIP; got != first.Spec.ClusterIP {
		t.Errorf("the address is %s, want %s", got, first.Spec.ClusterIP)
	}
}

// TestPodsAppliedWithTheirTenant: the first pods of a new tenant get the address of its
// Service, for which the webhook waits a second. Without a Service by then, as may happen on
// a busy machine, they get that of a proxy machine: the test tries another tenant.
func TestPodsAppliedWithTheirTenant(t *testing.T) {
	const serviceWait, tenants = time.Second, 5
	for i := range int32(tenants) {
		object := tenant(fmt.Sprintf("service-first-%d", i), 3213+i)
		begin := time.Now()
		createTenant(t, &object)
		pod := createPod(t, newNamespace(t, object.Name), corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "none"}}})
		waited := time.Since(begin)
		got, want := environment(pod, "c")["HTTPS_PROXY"], proxyURL(t, object.Name)
		if got == want {
			return
		}
		if direct := fmt.Sprintf("http://%s:%d", proxyAddress, object.Spec.ProxyPort()); got != direct || waited < serviceWait {
			t.Fatalf("HTTPS_PROXY=%q after %s, want %q, or %q after %s", got, waited, want, direct, serviceWait)
		}
		t.Logf("tenant %s had no Service after %s", object.Name, waited)
	}
	t.Errorf("the first pods of %d tenants did not get the addresses of their Services", tenants)
}
