package integration

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
)

func TestPolicyRepairsItself(t *testing.T) {
	namespace := newNamespace(t, "client-a")
	key := client.ObjectKey{Namespace: namespace, Name: names.PolicyName}
	var original networkingv1.NetworkPolicy
	eventually(t, "the policy", func(ctx context.Context) (bool, string) {
		err := shared.client.Get(ctx, key, &original)
		return err == nil, fmt.Sprint(err)
	})
	edit := func(change func(*networkingv1.NetworkPolicySpec)) func() error {
		return func() error {
			return retry.RetryOnConflict(conflicts, func() error {
				var policy networkingv1.NetworkPolicy
				if err := shared.client.Get(t.Context(), key, &policy); err != nil {
					return err
				}
				change(&policy.Spec)
				return shared.client.Update(t.Context(), &policy)
			})
		}
	}
	for name, damage := range map[string]func() error{
		"deleted": func() error { return shared.client.Delete(t.Context(), original.DeepCopy()) },
		"opened": edit(func(spec *networkingv1.NetworkPolicySpec) {
			spec.Egress = append(spec.Egress, networkingv1.NetworkPolicyEgressRule{})
		}),
		// Ingress rules, which we do not write: server-side apply
		// leaves them alone unless they are removed explicitly.
		"an ingress rule added": edit(func(spec *networkingv1.NetworkPolicySpec) {
			spec.Ingress = append(spec.Ingress, networkingv1.NetworkPolicyIngressRule{})
		}),
		"ingress rules and the type Ingress added": edit(func(spec *networkingv1.NetworkPolicySpec) {
			spec.PolicyTypes = append(spec.PolicyTypes, networkingv1.PolicyTypeIngress)
			spec.Ingress = append(spec.Ingress, networkingv1.NetworkPolicyIngressRule{})
		}),
	} {
		if err := damage(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		eventually(t, "the policy to be as it was after it was "+name, func(ctx context.Context) (bool, string) {
			var got networkingv1.NetworkPolicy
			if err := shared.client.Get(ctx, key, &got); err != nil {
				return false, err.Error()
			}
			diff := cmp.Diff(original.Spec, got.Spec)
			return diff == "", diff
		})
	}
	requireQuiet(t, key)
}

// requireQuiet requires that the policy is not written any more: a policy that
// is repaired again and again would look correct, too.
func requireQuiet(t *testing.T, key client.ObjectKey) {
	t.Helper()
	var policy networkingv1.NetworkPolicy
	if err := shared.client.Get(t.Context(), key, &policy); err != nil {
		t.Fatal(err)
	}
	policies, err := shared.clientset.NetworkingV1().NetworkPolicies(key.Namespace).Watch(t.Context(),
		metav1.ListOptions{ResourceVersion: policy.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer policies.Stop()
	select {
	case event := <-policies.ResultChan():
		t.Errorf("the policy is right, and yet: %s %+v", event.Type, event.Object)
	case <-time.After(time.Second):
	}
}

func TestPolicyIsRemovedWithTheLabel(t *testing.T) {
	namespace := newNamespace(t, "client-a")
	eventually(t, "the policy", func(ctx context.Context) (bool, string) {
		policies := listPolicies(ctx, t, namespace)
		return slices.Contains(policies, names.PolicyName), fmt.Sprint(policies)
	})
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"egress.scw/tenant":null}}}`))
	if err := shared.client.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, patch); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the policy to go", func(ctx context.Context) (bool, string) {
		policies := listPolicies(ctx, t, namespace)
		return len(policies) == 0, fmt.Sprint(policies)
	})
}

// Namespace, Deployment and everything else are applied from one file, as users
// do: in the API's own order of events, every pod is created after its
// namespace's policy, and every pod is injected.
func TestPolicyBeforePod(t *testing.T) {
	const (
		rounds = 200
		// A file has several namespaces, each directly before its Deployment: kubectl
		// sends the objects in this order, and its start takes longer than its requests.
		inFile = 20
	)
	order := watchOrder(t)
	for first := 0; first < rounds; first += inFile {
		var file strings.Builder
		for i := range inFile {
			name := fmt.Sprintf("order-%d", first+i)
			fmt.Fprintf(&file, oneNamespace, name)
			t.Cleanup(func() {
				_ = shared.client.Delete(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
			})
		}
		if err := shared.cluster.Apply(t.Context(), file.String()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, fmt.Sprintf("pods and policies in %d namespaces", rounds), func(context.Context) (bool, string) {
		pods, policies := order.namespaces()
		return pods == rounds && policies == rounds, fmt.Sprintf("%d of them have a pod, %d a policy", pods, policies)
	})
	for _, violation := range order.violations() {
		t.Error(violation)
	}
}

const oneNamespace = `
---
apiVersion: v1
kind: Namespace
metadata:
  name: %[1]s
  labels: {egress.scw/tenant: client-a}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: %[1]s}
spec:
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      automountServiceAccountToken: false
      containers: [{name: app, image: none}]
`

// eventOrder records the API's revisions at which policies and pods were
// created.
type eventOrder struct {
	mu       sync.Mutex
	policies map[string]uint64       // by namespace
	pods     map[string][]createdPod // by namespace
}

type createdPod struct {
	revision uint64
	injected bool
}

func watchOrder(t *testing.T) *eventOrder {
	t.Helper()
	order := &eventOrder{policies: map[string]uint64{}, pods: map[string][]createdPod{}}
	policies, pods := shared.clientset.NetworkingV1().NetworkPolicies(""), shared.clientset.CoreV1().Pods("")
	policyList, err := policies.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	podList, err := pods.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go order.follow(watchFrom(t, policyList.ResourceVersion, policies.Watch))
	go order.follow(watchFrom(t, podList.ResourceVersion, pods.Watch))
	return order
}

func (o *eventOrder) follow(w watch.Interface) {
	for event := range w.ResultChan() {
		if event.Type != watch.Added {
			continue
		}
		object := event.Object.(metav1.Object)
		if !strings.HasPrefix(object.GetNamespace(), "order-") {
			continue
		}
		revision, err := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
		if err != nil {
			panic(err) // the API server's, of etcd
		}
		o.mu.Lock()
		switch object := object.(type) {
		case *networkingv1.NetworkPolicy:
			if object.Name == names.PolicyName {
				o.policies[object.Namespace] = revision
			}
		case *corev1.Pod:
			injected := strings.HasPrefix(environment(object, "app")["HTTPS_PROXY"], "http://")
			o.pods[object.Namespace] = append(o.pods[object.Namespace], createdPod{revision, injected})
		}
		o.mu.Unlock()
	}
}

// namespaces returns the number of namespaces with a pod, and of those with a
// policy.
func (o *eventOrder) namespaces() (withPod, withPolicy int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.pods), len(o.policies)
}

func (o *eventOrder) violations() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var violations []string
	for namespace, pods := range o.pods {
		policy, ok := o.policies[namespace]
		for _, pod := range pods {
			if !ok || pod.revision < policy {
				violations = append(violations, fmt.Sprintf("%s: pod at revision %d, policy at %d", namespace, pod.revision, policy))
			}
			if !pod.injected {
				violations = append(violations, fmt.Sprintf("%s: pod at revision %d is not injected", namespace, pod.revision))
			}
		}
	}
	return violations
}

func listPolicies(ctx context.Context, t *testing.T, namespace string) []string {
	t.Helper()
	var list networkingv1.NetworkPolicyList
	if err := shared.client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, policy := range list.Items {
		names = append(names, policy.Name)
	}
	return names
}
