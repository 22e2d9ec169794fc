package controller

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	// repairsForgotten is the time without a repair after which they are counted
	// from one again: API servers keep events for an hour by default.
	repairsForgotten = time.Hour
	// repairsInterval is the shortest time between two reports of the repairs in
	// one namespace. A client that edits in a loop causes more repairs a second
	// than events should be written.
	repairsInterval = time.Second
)

// repairs remembers, for each namespace, the policy that was last in sync, and
// the repairs of policies that other clients deleted or edited. The zero value is
// empty. Only the leader has one, so that the numbers begin again with another
// leader.
type repairs struct {
	mu          sync.Mutex
	byNamespace map[string]*repairRecord
}

type repairRecord struct {
	// uid distinguishes a namespace from an earlier one of the same name.
	uid        types.UID
	lastInSync fingerprint
	// version is the resourceVersion of the policy that was last in sync with the
	// namespace and the tenant in the caches. It is empty if those may be older than
	// the policy.
	version string
	// pending is true after a write, until the caches have its result.
	pending bool
	report  repairReport
	// written is the count of the last report, at writtenAt.
	written   int
	writtenAt time.Time
}

// repairReport is the content of an event about repairs: their number since the
// first, and how another client changed the policy before the last.
type repairReport struct {
	count       int
	first, last time.Time
	cause       string
}

// find returns the record of a namespace, nil if there is none.
func (r *repairs) find(namespace *corev1.Namespace) *repairRecord {
	record, ok := r.byNamespace[namespace.Name]
	if !ok || record.uid != namespace.UID {
		return nil
	}
	return record
}

// of returns the record of a namespace, which is created if there is none.
func (r *repairs) of(namespace *corev1.Namespace) *repairRecord {
	if record := r.find(namespace); record != nil {
		return record
	}
	if r.byNamespace == nil {
		r.byNamespace = map[string]*repairRecord{}
	}
	record := &repairRecord{uid: namespace.UID}
	r.byNamespace[namespace.Name] = record
	return record
}

// inSync remembers that the policy of the namespace is in sync. The version is its
// resourceVersion, if it is in sync with the namespace and the tenant in the
// caches. Found is true if the caches have the policy itself, too. A nil policy
// stands for none, in a namespace that should have none.
func (r *repairs) inSync(namespace *corev1.Namespace, policy *networkingv1.NetworkPolicy, version string, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	record := r.of(namespace)
	record.lastInSync, record.version, record.pending = fingerprintOf(policy), version, !found && policy != nil
}

// isSettled reports whether the policy is the one that was last in sync with the
// caches. It has not been written since then, and caches never go back: the
// namespace and the tenant in them are not older than the policy.
func (r *repairs) isSettled(namespace *corev1.Namespace, policy *networkingv1.NetworkPolicy) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	record := r.find(namespace)
	return record != nil && policy != nil && record.version != "" && record.version == policy.ResourceVersion
}

// isPending reports whether a policy was written that the caches may not have yet.
// If they have none, it need not be missing.
func (r *repairs) isPending(namespace *corev1.Namespace) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	record := r.find(namespace)
	return record != nil && record.pending
}

// lastInSync returns the policy that was last in sync, the zero value for none.
func (r *repairs) lastInSync(namespace *corev1.Namespace) fingerprint {
	r.mu.Lock()
	defer r.mu.Unlock()
	if record := r.find(namespace); record != nil {
		return record.lastInSync
	}
	return fingerprint{}
}

// forget removes a namespace that does not exist any more.
func (r *repairs) forget(namespace string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byNamespace, namespace)
}

// add counts a repair.
func (r *repairs) add(namespace *corev1.Namespace, cause string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	record := r.of(namespace)
	if now.Sub(record.report.last) > repairsForgotten {
		record.report, record.written = repairReport{first: now}, 0
	}
	record.report.count++
	record.report.last, record.report.cause = now, cause
}

// due returns the report that must be written now, nil if there is none, and the
// time until the next one is due, 0 if there is none.
func (r *repairs) due(namespace *corev1.Namespace, now time.Time) (*repairReport, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	record := r.find(namespace)
	if record == nil || record.report.count == record.written {
		return nil, 0
	}
	if wait := record.writtenAt.Add(repairsInterval).Sub(now); wait > 0 {
		return nil, wait
	}
	report := record.report
	return &report, 0
}

// reported remembers that a report was written.
func (r *repairs) reported(namespace *corev1.Namespace, report *repairReport, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	record := r.of(namespace)
	record.written, record.writtenAt = report.count, now
}
