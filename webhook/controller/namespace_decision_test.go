package controller

import (
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
	"egress.scw/webhook/netpol"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	right := policyFixture("web", tenant)
	edited := policyFixture("web", tenant, openToEverything)
	foreign := policyFixture("web", tenant, withoutTenantLabel)
	closed := netpol.BuildClosed("lost", "web")
	leaving := policyFixture("web", tenant, beingDeleted)
	for name, test := range map[string]struct {
		label       *string // nil for none
		terminating bool
		protected   bool
		tenant      *v1alpha1.EgressTenant
		observed    *networkingv1.NetworkPolicy
		lastInSync  *networkingv1.NetworkPolicy
		action      action
		reason      names.Reason
		message     string
	}{
		"labelled, no policy":                 {label: new("client-a"), tenant: tenant, action: actionApply, reason: names.ReasonPolicyApplied, message: "created for tenant client-a"},
		"labelled, right policy":              {label: new("client-a"), tenant: tenant, observed: right, action: actionNone, reason: names.ReasonPolicyInSync},
		"labelled, other policy":              {label: new("client-a"), tenant: tenant, observed: edited, action: actionApply, reason: names.ReasonPolicyApplied, message: "updated for tenant client-a"},
		"labelled, foreign policy":            {label: new("client-a"), tenant: tenant, observed: foreign, action: actionApply, reason: names.ReasonPolicyApplied, message: "updated"},
		"labelled, edited policy":             {label: new("client-a"), tenant: tenant, observed: edited, lastInSync: right, action: actionRepair, reason: names.ReasonPolicyRepaired, message: "was edited, and restored"},
		"labelled, deleted policy":            {label: new("client-a"), tenant: tenant, lastInSync: right, action: actionRepair, reason: names.ReasonPolicyRepaired, message: "was deleted, and restored"},
		"unknown tenant, deleted policy":      {label: new("lost"), lastInSync: closed, action: actionRepair, reason: names.ReasonPolicyRepaired},
		"terminating, deleted policy":         {label: new("client-a"), terminating: true, tenant: tenant, lastInSync: right, action: actionNone, reason: names.ReasonTerminating},
		"unknown tenant, no policy":           {label: new("lost"), action: actionClose, reason: names.ReasonUnknownTenant, message: "there is no EgressTenant for the label egress.scw/tenant=lost: NetworkPolicy egress-scw closes every egress path"},
		"unknown tenant, some policy":         {label: new("lost"), observed: edited, action: actionClose, reason: names.ReasonUnknownTenant},
		"unknown tenant, closed":              {label: new("lost"), observed: closed, action: actionNone, reason: names.ReasonPolicyInSync},
		"empty label, no policy":              {label: new(""), action: actionClose, reason: names.ReasonUnknownTenant},
		"empty label, some policy":            {label: new(""), observed: right, action: actionClose, reason: names.ReasonUnknownTenant},
		"empty label, foreign closed policy":  {label: new(""), observed: policyFixture("web", tenant, withoutRules, withoutTenantLabel), action: actionClose, reason: names.ReasonUnknownTenant},
		"known tenant, closed":                {label: new("client-a"), tenant: tenant, observed: closed, action: actionApply, reason: names.ReasonPolicyApplied},
		"no label, our policy, kept":          {observed: policyFixture("web", tenant, withFinalizer), action: actionRemove, reason: names.ReasonPolicyRemoved, message: "marked for deletion, but in force until its finalizers (example.test/keep) are removed: the namespace no longer has the label"},
		"no label, our policy, leaving":       {observed: leaving, action: actionNone, reason: names.ReasonPolicyRemoved},
		"protected, our policy, leaving":      {label: new("client-a"), protected: true, tenant: tenant, observed: leaving, action: actionNone, reason: names.ReasonPolicyRemoved},
		"labelled, right policy, leaving":     {label: new("client-a"), tenant: tenant, observed: leaving, action: actionNone, reason: names.ReasonPolicyInSync},
		"no label, no policy":                 {action: actionNone, reason: names.ReasonNotATenant},
		"no label, our policy":                {observed: right, action: actionRemove, reason: names.ReasonPolicyRemoved, message: "no longer has the label egress.scw/tenant"},
		"no label, our policy, edited":        {observed: edited, action: actionRemove, reason: names.ReasonPolicyRemoved},
		"no label, foreign policy":            {observed: foreign, action: actionNone, reason: names.ReasonNotATenant},
		"protected, labelled":                 {label: new("client-a"), protected: true, tenant: tenant, action: actionRefuse, reason: names.ReasonProtectedNamespace, message: "Remove the label: kubectl label namespace web egress.scw/tenant-"},
		"protected, labelled, our policy":     {label: new("client-a"), protected: true, tenant: tenant, observed: right, action: actionRemove, reason: names.ReasonPolicyRemoved, message: "the namespace is protected"},
		"protected, labelled, our old policy": {label: new("client-a"), protected: true, tenant: tenant, observed: edited, action: actionRemove, reason: names.ReasonPolicyRemoved},
		"protected, labelled, foreign policy": {label: new("client-a"), protected: true, tenant: tenant, observed: foreign, action: actionRefuse, reason: names.ReasonProtectedNamespace},
		"protected, unknown tenant":           {label: new("lost"), protected: true, action: actionRefuse, reason: names.ReasonProtectedNamespace, message: "label egress.scw/tenant=lost has no effect"},
		"protected, empty label, our policy":  {label: new(""), protected: true, observed: right, action: actionRemove, reason: names.ReasonPolicyRemoved},
		"protected, no label":                 {protected: true, action: actionNone, reason: names.ReasonNotATenant},
		"protected, no label, our policy":     {protected: true, observed: right, action: actionRemove, reason: names.ReasonPolicyRemoved, message: "no longer has the label"},
		"protected, terminating":              {label: new("client-a"), protected: true, terminating: true, tenant: tenant, observed: right, action: actionNone, reason: names.ReasonTerminating},

		"terminating, no policy":        {label: new("client-a"), terminating: true, tenant: tenant, action: actionNone, reason: names.ReasonTerminating},
		"terminating, policy in sync":   {label: new("client-a"), terminating: true, tenant: tenant, observed: right, action: actionNone, reason: names.ReasonPolicyInSync},
		"terminating, policy opened":    {label: new("client-a"), terminating: true, tenant: tenant, observed: edited, action: actionApply, reason: names.ReasonPolicyApplied},
		"terminating, label removed":    {terminating: true, observed: right, action: actionNone, reason: names.ReasonTerminating},
		"terminating, tenant is gone":   {label: new("client-a"), terminating: true, observed: right, action: actionClose, reason: names.ReasonUnknownTenant},
		"terminating, gone, no policy":  {label: new("client-a"), terminating: true, action: actionNone, reason: names.ReasonTerminating},
		"terminating and never labeled": {terminating: true, action: actionNone, reason: names.ReasonTerminating},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			facts := namespaceFacts{namespace: namespaceFixture("web", ""), protected: test.protected, tenant: test.tenant, observed: test.observed, lastInSync: fingerprintOf(test.lastInSync)}
			if test.label != nil {
				facts.namespace.Labels = map[string]string{names.LabelTenant: *test.label}
				facts.wanted = netpol.BuildClosed(*test.label, "web")
			}
			if test.terminating {
				facts.namespace.DeletionTimestamp = new(metav1.Now())
			}
			if test.tenant != nil {
				facts.wanted = policyFixture("web", test.tenant)
			}
			got := decide(facts)
			if got.action != test.action || got.reason != test.reason {
				t.Errorf("the decision is %s (%s), want %s (%s)", got.action, got.reason, test.action, test.reason)
			}
			if got.message == "" || !strings.Contains(got.message, test.message) {
				t.Errorf("the message is %q, want %q in it", got.message, test.message)
			}
		})
	}
}
