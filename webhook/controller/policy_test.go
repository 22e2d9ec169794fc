package controller

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/netpol"
)

func TestEnsure(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	for name, test := range map[string]struct {
		have    *networkingv1.NetworkPolicy // nil for none
		applied int
	}{
		"no policy yet":          {nil, 1},
		"in sync":                {policyFixture("web", tenant), 0},
		"with other labels":      {policyFixture("web", tenant, withForeignMetadata), 0},
		"of another tenant":      {policyFixture("web", tenantFixture("client-b", 3130)), 1},
		"of another port":        {policyFixture("web", tenantFixture("client-a", 3130)), 1},
		"edited open":            {policyFixture("web", tenant, openToEverything), 1},
		"edited to few pods":     {policyFixture("web", tenant, forSomePods), 1},
		"edited to another type": {policyFixture("web", tenant, withoutEgressType), 1},
		"without its label":      {policyFixture("web", tenant, withoutTenantLabel), 1},
		"edited in all ways":     {policyFixture("web", tenant, openToEverything, forSomePods, withForeignMetadata), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var objects []client.Object
			if test.have != nil {
				objects = append(objects, test.have.DeepCopy())
			}
			server := newAPI(t, objects...)
			policies := NewPolicyApplier(server, settingsFixture())

			// A dry run writes no object.
			before := server.policyIn(t, "web")
			if err := policies.Ensure(t.Context(), "web", tenant, true); err != nil {
				t.Fatalf("dry run: %v", err)
			}
			if diff := cmp.Diff(before, server.policyIn(t, "web")); diff != "" || server.applied > 0 {
				t.Errorf("the dry run wrote:\n%s", diff)
			}

			// Afterwards the policy is in sync: the second call sends no request.
			for range 2 {
				if err := policies.Ensure(t.Context(), "web", tenant, false); err != nil {
					t.Fatal(err)
				}
			}
			if server.applied != test.applied {
				t.Errorf("applied %d times, want %d", server.applied, test.applied)
			}
			after, want := server.policyIn(t, "web"), netpol.Build(tenant, "web", settingsFixture())
			if diff := cmp.Diff(want.Spec, after.Spec); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			if after.Labels[names.LabelTenant] != "client-a" {
				t.Errorf("labels are %v", after.Labels)
			}
			if test.have != nil && test.have.Annotations["note"] != after.Annotations["note"] {
				t.Errorf("annotations of other clients are lost: %v", after.Annotations)
			}
		})
	}
}

func TestEnsureOwnsWhatItWrites(t *testing.T) {
	t.Parallel()
	server := newAPI(t)
	if err := NewPolicyApplier(server, settingsFixture()).Ensure(t.Context(), "web", tenantFixture("client-a", 3129), false); err != nil {
		t.Fatal(err)
	}
	owners := server.policyIn(t, "web").ManagedFields
	if len(owners) != 1 || owners[0].Manager != names.FieldOwner || owners[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("managed fields are %+v, want one server-side apply by %s", owners, names.FieldOwner)
	}
}

// TestApplyRemovesForeignRules checks the request: the fake client, unlike the API
// server, drops empty lists.
func TestApplyRemovesForeignRules(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	for name, test := range map[string]struct {
		observed, wanted *networkingv1.NetworkPolicy
		empty            []string
	}{
		"with ingress":           {policyFixture("web", tenant, withIngressRule), netpol.Build(tenant, "web", settingsFixture()), []string{"ingress"}},
		"without ingress":        {policyFixture("web", tenant, openToEverything), netpol.Build(tenant, "web", settingsFixture()), nil},
		"closed":                 {policyFixture("web", tenant), netpol.BuildClosed("lost", "web"), []string{"egress"}},
		"closed, with ingress":   {policyFixture("web", tenant, withIngressRule), netpol.BuildClosed("lost", "web"), []string{"ingress", "egress"}},
		"closed once more":       {policyFixture("web", tenant, withoutRules), netpol.BuildClosed("lost", "web"), nil},
		"closed from the outset": {nil, netpol.BuildClosed("lost", "web"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var objects []client.Object
			if test.observed != nil {
				objects = append(objects, test.observed)
			}
			server := newAPI(t, objects...)
			if _, err := NewPolicyApplier(server, settingsFixture()).apply(t.Context(), test.observed, test.wanted, changeUpdated); err != nil {
				t.Fatal(err)
			}
			for _, list := range []string{"ingress", "egress"} {
				if got := strings.Contains(string(server.lastApplied), `"`+list+`":[]`); got != slices.Contains(test.empty, list) {
					t.Errorf("an empty list of %s rules is applied: %t: %s", list, got, server.lastApplied)
				}
			}
		})
	}
}

// TestReplace: of the observed policy, labels and annotations of other clients stay,
// and no rule does.
func TestReplace(t *testing.T) {
	t.Parallel()
	tenant := tenantFixture("client-a", 3129)
	for name, wanted := range map[string]*networkingv1.NetworkPolicy{
		"another port": netpol.Build(tenantFixture("client-a", 3200), "web", settingsFixture()),
		"closed":       netpol.BuildClosed("lost", "web"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t, policyFixture("web", tenant, openToEverything, withIngressRule, forSomePods, withForeignMetadata))
			policies, observed := NewPolicyApplier(server, settingsFixture()), server.policyIn(t, "web")
			version, err := policies.replace(t.Context(), observed, wanted, changeUpdated)
			if err != nil {
				t.Fatal(err)
			}
			got := server.policyIn(t, "web")
			if diff := cmp.Diff(wanted.Spec, got.Spec, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			labels := map[string]string{"team": "platform", names.LabelTenant: wanted.Labels[names.LabelTenant]}
			if diff := cmp.Diff(labels, got.Labels); diff != "" || got.Annotations["note"] != "seen" {
				t.Errorf("annotations are %v, labels (-want +got):\n%s", got.Annotations, diff)
			}
			if version != got.ResourceVersion {
				t.Errorf("the version is %q, want %q", version, got.ResourceVersion)
			}
			// Of an older version, and of a policy that was deleted, it replaces nothing.
			if _, err := policies.replace(t.Context(), observed, wanted, changeUpdated); !apierrors.IsConflict(err) {
				t.Errorf("a newer policy was replaced: %v", err)
			}
			if err := server.Delete(t.Context(), got); err != nil {
				t.Fatal(err)
			}
			if _, err := policies.replace(t.Context(), got, wanted, changeUpdated); !apierrors.IsConflict(err) {
				t.Errorf("error %v, want a conflict, so that the namespace is reconciled again", err)
			}
		})
	}
}

func TestEnsureFails(t *testing.T) {
	t.Parallel()
	cause := errors.New("the disk is full")
	for name, test := range map[string]struct {
		fail func(*api)
		want string
	}{
		"write": {func(a *api) { a.failApply = cause }, "applying NetworkPolicy web/egress-scw of tenant client-a: the disk is full"},
		"read":  {func(a *api) { a.failGet = cause }, "reading NetworkPolicy web/egress-scw: the disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPI(t)
			test.fail(server)
			err := NewPolicyApplier(server, settingsFixture()).Ensure(t.Context(), "web", tenantFixture("client-a", 3129), false)
			if !errors.Is(err, cause) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}
