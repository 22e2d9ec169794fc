package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// patch changes an object as the attacker.
func (a attacker) patch(ctx context.Context, object, patch string, args ...string) error {
	_, err := a.kubectl(ctx, "", append([]string{"patch", object, "--type=merge", "--patch=" + patch}, args...)...)
	return err
}

// client is the attacker's client, without a limit of its own.
func (a attacker) client(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", a.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = -1, -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// A stop is a part of the system that keeps an attacker from an attempt.
type stop struct {
	name string
	// message is a part of its refusal.
	message string
	// lift takes it away from this attacker until the test ends.
	lift func(t *testing.T, a attacker)
}

// byRBAC is a right that the ClusterRole admin does not contain.
func byRBAC(rule string) stop {
	return stop{"RBAC", "cannot ", func(t *testing.T, a attacker) { a.grant(t, "right", rule) }}
}

// byGuard is one of the chart's ValidatingAdmissionPolicies. Holders of the verb
// enforce are exempt from all of them.
func byGuard(name string) stop {
	return stop{"guard " + name, "ValidatingAdmissionPolicy '" + name + ".egress.scw'", func(t *testing.T, a attacker) {
		a.grant(t, "exempt", "{apiGroups: [egress.scw], resources: [egresstenants], verbs: [enforce]}")
	}}
}

// byWebhook is the webhook's own refusal of changes to NetworkPolicy egress-scw.
// Clients that may remove its configuration are exempt.
func byWebhook() stop {
	return stop{"the webhook", `admission webhook "policies.egress.scw" denied the request`, func(t *testing.T, a attacker) {
		a.grant(t, "unlocked", "{apiGroups: [admissionregistration.k8s.io], resources: [validatingwebhookconfigurations], resourceNames: [egress-webhook], verbs: [delete]}")
	}}
}

// attack is one attempt of the attacker.
type attack struct {
	name string
	// stops refuse it, in this order: once one is lifted, the next one does.
	stops []stop
	// attempt sends the requests to the API.
	attempt func(ctx context.Context, a attacker) error
	// undo removes the results, as the administrator.
	undo func(ctx context.Context, a attacker) error
	// succeeds reports whether the attempt has had its effect, and describes the
	// state. Nil: the accepted request is the effect.
	succeeds func(t *testing.T, a attacker) (bool, string)
}

// run makes the attempt against each stop, and then without all of them: the
// effect must be there then, and not before.
func (k attack) run(t *testing.T, a attacker) {
	t.Cleanup(func() {
		if err := k.undo(context.WithoutCancel(t.Context()), a); err != nil {
			t.Error(err)
		}
	})
	for i, s := range k.stops {
		var err error
		if i == 0 {
			err = k.attempt(t.Context(), a)
		} else {
			// The stop that was lifted before works for a moment longer.
			eventually(t, k.stops[i-1].name+" to be lifted", func() (bool, string) {
				err = k.attempt(t.Context(), a)
				return err == nil || !strings.Contains(err.Error(), k.stops[i-1].message), fmt.Sprint(err)
			})
		}
		if err == nil || !strings.Contains(err.Error(), s.message) {
			t.Errorf("%v; want a refusal by %s: %q", err, s.name, s.message)
		} else {
			t.Logf("%s: %s", s.name, lastLine(err))
		}
		if k.succeeds != nil {
			if yes, state := k.succeeds(t, a); yes {
				t.Errorf("it succeeds in spite of %s: %s", s.name, state)
			}
		}
		s.lift(t, a)
	}
	eventually(t, "the attempt to be accepted without the stops", func() (bool, string) {
		err := k.attempt(t.Context(), a)
		return err == nil, fmt.Sprint(err)
	})
	if k.succeeds != nil {
		eventually(t, "the attack to succeed without the stops, or its test proves nothing", func() (bool, string) { return k.succeeds(t, a) })
	}
}

// lastLine returns the refusal of the API server.
func lastLine(err error) string {
	all := lines(err.Error())
	_, refusal, _ := strings.Cut(all[len(all)-1], "Error from server ")
	return refusal
}

// remove deletes objects as the administrator, if they exist.
func remove(objects ...string) func(context.Context, attacker) error {
	return func(ctx context.Context, a attacker) error {
		var errs []error
		for _, object := range objects {
			_, err := kubectl(ctx, "--namespace="+a.namespace, "delete", object, "--ignore-not-found")
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
}
