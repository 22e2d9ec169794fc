package main

import (
	"fmt"
	"slices"
	"strings"

	"egress.scw/webhook/inject"
	"egress.scw/webhook/kubectl-egress/state"
)

// verifyNamespace returns the namespace of the tenant in which the pod runs: that of
// --namespace, if one tenant is verified, or else the first whose pods are injected.
func (a *app) verifyNamespace(s *state.State, tenant string, single bool) (inject.Namespace, error) {
	all := s.NamespacesOf(tenant)
	if len(all) == 0 {
		return inject.Namespace{}, fmt.Errorf("EgressTenant %s has no namespace, in which a pod could run", tenant)
	}
	if name := *a.flags.Namespace; name != "" && single {
		if !slices.Contains(all, name) {
			return inject.Namespace{}, fmt.Errorf("namespace %s is not of EgressTenant %s, which has %s", name, tenant, strings.Join(all, ", "))
		}
		all = []string{name}
	}
	for _, name := range all {
		if namespace, _ := s.Namespace(name); !state.OptedOut(namespace) {
			return namespace, nil
		}
	}
	return inject.Namespace{}, fmt.Errorf("the label egress.scw/inject=false turns injection off in every namespace of EgressTenant %s", tenant)
}
