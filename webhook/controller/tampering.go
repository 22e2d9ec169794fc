package controller

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
)

// fingerprint identifies the tenant and the spec of a policy. The zero value is
// that of no policy.
type fingerprint [sha256.Size]byte

func fingerprintOf(policy *networkingv1.NetworkPolicy) fingerprint {
	if policy == nil {
		return fingerprint{}
	}
	text, _ := json.Marshal(policy.Spec) // strings, numbers and lists can always be encoded
	tenant, labelled := policy.Labels[names.LabelTenant]
	if labelled {
		text = append(text, tenant...)
	}
	return sha256.Sum256(text)
}

// tampering describes how another client changed the policy that is missing or
// differs from the wanted one. It is empty if the wanted policy has changed
// instead, or if there has been no policy yet. lastInSync is the policy that was
// last in sync in the namespace, the zero value if it is not known.
//
// Field managers tell the two apart if nothing is known, after a change of the
// leader. They do not suffice: every client can name itself as it likes.
func tampering(observed, wanted *networkingv1.NetworkPolicy, lastInSync fingerprint) string {
	known := lastInSync != fingerprint{}
	editor := editorOf(observed)
	switch {
	case observed == nil && known && lastInSync == fingerprintOf(wanted):
		return "deleted"
	case observed == nil, known && lastInSync == fingerprintOf(observed):
		return ""
	case editor != "":
		return "edited by the field manager " + editor
	case known && lastInSync == fingerprintOf(wanted):
		return "edited"
	}
	return ""
}

// editorOf returns the field manager other than the webhook that last wrote the
// spec or the tenant label of the policy, "" if there is none. The API server
// records managers, not users: its audit log has those.
func editorOf(policy *networkingv1.NetworkPolicy) string {
	if policy == nil {
		return ""
	}
	foreign := slices.DeleteFunc(slices.Clone(policy.ManagedFields), func(entry metav1.ManagedFieldsEntry) bool {
		if entry.FieldsV1 == nil || entry.Manager == names.FieldOwner {
			return true
		}
		fields := entry.FieldsV1.GetRawString()
		return !strings.Contains(fields, `"f:spec"`) && !strings.Contains(fields, `"f:`+names.LabelTenant+`"`)
	})
	if len(foreign) == 0 {
		return ""
	}
	return slices.MaxFunc(foreign, func(a, b metav1.ManagedFieldsEntry) int {
		switch {
		case a.Time.Equal(b.Time):
			return 0
		case a.Time.Before(b.Time):
			return -1
		}
		return 1
	}).Manager
}
