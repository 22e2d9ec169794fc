package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
)

// reportRepairs writes the repairs of a namespace's policy as two Warning
// events: on the namespace, for the platform team, and on the policy in the
// namespace itself, whose admins may not read events of namespaces. It returns the
// time until the next report is due, 0 if there is none.
//
// The event recorder of controllers is not used: it joins events with one reason
// into a series, of which only the first note is kept, and whose count it writes
// every half an hour.
func (r *NamespaceReconciler) reportRepairs(ctx context.Context, namespace *corev1.Namespace) (time.Duration, error) {
	report, wait := r.repairs.due(namespace, time.Now())
	if report == nil {
		return wait, nil
	}
	onNamespace := corev1.ObjectReference{APIVersion: "v1", Kind: "Namespace", Name: namespace.Name, UID: namespace.UID}
	onPolicy := corev1.ObjectReference{
		APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy", Namespace: namespace.Name, Name: names.PolicyName,
	}
	for _, event := range []*corev1.Event{
		repairEvent(metav1.NamespaceDefault, namespace.Name+"."+names.RepairEvent, onNamespace, report),
		repairEvent(namespace.Name, names.RepairEvent, onPolicy, report),
	} {
		if err := r.writeEvent(ctx, event); err != nil {
			return 0, err // the repetition writes both
		}
	}
	r.repairs.reported(namespace, report, time.Now())
	return 0, nil
}

func (r *NamespaceReconciler) writeEvent(ctx context.Context, event *corev1.Event) error {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(event)
	if err != nil {
		return fmt.Errorf("encoding event %s/%s: %w", event.Namespace, event.Name, err)
	}
	config := client.ApplyConfigurationFromUnstructured(&unstructured.Unstructured{Object: object})
	err = r.Writer.Apply(ctx, config, client.FieldOwner(names.FieldOwner), client.ForceOwnership)
	if err == nil || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	return fmt.Errorf("writing event %s/%s: %w", event.Namespace, event.Name, err)
}

// repairEvent returns an event of a fixed name, so that the next report replaces
// it. Events of cluster-scoped objects are in the namespace "default".
func repairEvent(namespace, name string, about corev1.ObjectReference, report *repairReport) *corev1.Event {
	return &corev1.Event{
		TypeMeta:       metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: name},
		InvolvedObject: about,
		Type:           corev1.EventTypeWarning,
		Reason:         string(names.ReasonPolicyRepaired),
		Message: fmt.Sprintf("NetworkPolicy %s was %s, and restored: repair %d since %s. The audit log of the API server contains the user",
			names.PolicyName, report.cause, report.count, report.first.UTC().Format(time.RFC3339)),
		Source:              corev1.EventSource{Component: names.FieldOwner},
		ReportingController: names.FieldOwner,
		FirstTimestamp:      metav1.NewTime(report.first),
		LastTimestamp:       metav1.NewTime(report.last),
		Count:               int32(report.count), //nolint:gosec // less than one a millisecond, within an hour
	}
}
