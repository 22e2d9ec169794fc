package controller

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// sidecarState is what is known about the certificate of a tenant, and its copies.
type sidecarState struct {
	// identity is the issued certificate, nil if there is none.
	identity *identity
	reason   names.Reason
	message  string
}

// orElse returns the state, or one with the reason and message if it is empty.
func (s sidecarState) orElse(reason names.Reason, message string) sidecarState {
	if s.reason == "" {
		s.reason, s.message = reason, message
	}
	return s
}

// condition returns the condition SidecarReady.
func (s sidecarState) condition() metav1.Condition {
	condition := metav1.Condition{Type: names.ConditionSidecarReady, Status: metav1.ConditionFalse, Reason: string(s.reason), Message: s.message}
	if s.reason == names.ReasonSidecarReady {
		condition.Status = metav1.ConditionTrue
	}
	return condition
}

// stateOf returns the last state of a tenant, the zero value if none is known.
func (r *SidecarReconciler) stateOf(tenant string) sidecarState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.states[tenant]
}

// setState keeps the state of a tenant. If its reason or message is new, TenantReconciler
// reconciles the tenant.
func (r *SidecarReconciler) setState(ctx context.Context, tenant *v1alpha1.EgressTenant, state sidecarState) {
	r.mu.Lock()
	former := r.states[tenant.Name]
	r.states[tenant.Name] = state
	r.clean.Delete(tenant.Name)
	r.mu.Unlock()
	if former.reason == state.reason && former.message == state.message {
		return
	}
	select {
	case <-ctx.Done():
	case r.changes <- event.GenericEvent{Object: tenant.DeepCopy()}:
	}
}

// sidecarsOff is the state of a tenant with spec.sidecar whose proxy accepts no
// sidecars.
func sidecarsOff() sidecarState {
	return sidecarState{
		reason:  names.ReasonSidecarsOff,
		message: "The proxy accepts no sidecars: set spec.proxy.identity in egress.yaml to Offered or Required, run bootstrap apply, and upgrade the chart with the values.yaml that it writes",
	}
}

// sidecarOf returns the state of a tenant that uses sidecars, nil for others. It is not
// known until SidecarReconciler has looked at the tenant once, which makes this
// controller reconcile it again.
func (r *TenantReconciler) sidecarOf(tenant *v1alpha1.EgressTenant) (state *sidecarState, known bool) {
	if !usesSidecars(tenant) {
		return nil, true
	}
	if r.Sidecars == nil {
		return new(sidecarsOff()), true
	}
	found := r.Sidecars.stateOf(tenant.Name)
	return &found, found.reason != ""
}
