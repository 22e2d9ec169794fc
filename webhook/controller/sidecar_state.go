package controller

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/inject"
)

// sidecarState is what is known about the certificate of a tenant, and its copies.
type sidecarState struct {
	// identity is the issued certificate, nil if there is none.
	identity *identity
	// isUnread tells that there is none because it could not be read: pods may use one.
	isUnread bool
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

// unread returns the state of a tenant whose certificate could not be read: the last
// identity stays.
func (r *SidecarReconciler) unread(tenant, message string) sidecarState {
	last := r.stateOf(tenant).identity
	return sidecarState{identity: last, isUnread: last == nil, reason: names.ReasonCertificateNotIssued, message: message}
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

// sidecarOf returns the state of a tenant that uses sidecars, nil for others. Without
// what the settings lack, it is the reason for that. It is not known until
// SidecarReconciler has looked at the tenant once, which makes this controller reconcile
// it again.
func (r *TenantReconciler) sidecarOf(tenant *v1alpha1.EgressTenant, unsupported *inject.Refusal) (state *sidecarState, known bool) {
	switch {
	case !usesSidecars(tenant):
		return nil, true
	case unsupported != nil:
		return &sidecarState{reason: unsupported.Reason, message: unsupported.Message}, true
	}
	found := r.Sidecars.stateOf(tenant.Name)
	return &found, found.reason != ""
}
