package main

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta/testrestmapper"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/kubectl-egress/statetest"
	"egress.scw/webhook/probe"
)

// fakeCluster returns a cluster with the objects of statetest.Healthy, and further ones.
// A pod that is created without a node is injected, runs at once, and its log is the
// report of the function.
func fakeCluster(t *testing.T, report func(*corev1.Pod) *probe.Report, further ...client.Object) *cluster {
	t.Helper()
	s := statetest.Healthy(t)
	objects := append([]client.Object{statetest.Deployment()}, further...)
	for i := range s.Tenants {
		objects = append(objects, &s.Tenants[i])
	}
	for i := range s.Namespaces {
		objects = append(objects, &s.Namespaces[i])
	}
	for _, policy := range s.Policies {
		objects = append(objects, policy)
	}
	for _, guard := range names.Guards() {
		binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: guard}}
		binding.Spec.PolicyName, binding.Spec.ValidationActions = guard, []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}
		objects = append(objects, binding)
	}
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "egress-system", Name: names.SettingsConfigMap}, Data: map[string]string{names.SettingsKey: statetest.Settings}}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"}, Spec: corev1.ServiceSpec{ClusterIP: statetest.ServiceHost}}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}}}
	objects = append(objects, configMap, service, slice)
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{logs: func(context.Context, string, string) ([]byte, error) { return nil, errors.New("no pod has run") }}
	c.client = fake.NewClientBuilder().WithScheme(scheme).WithRESTMapper(testrestmapper.TestOnlyStaticRESTMapper(scheme)).WithObjects(objects...).
		WithInterceptorFuncs(interceptor.Funcs{Create: func(ctx context.Context, api client.WithWatch, object client.Object, options ...client.CreateOption) error {
			pod, isPod := object.(*corev1.Pod)
			if !isPod {
				return api.Create(ctx, object, options...)
			}
			pod.Status.Phase = corev1.PodSucceeded
			printed := report(pod)
			c.logs = func(context.Context, string, string) ([]byte, error) { return json.Marshal(printed) }
			return api.Create(ctx, pod, options...)
		}}).Build()
	return c
}
