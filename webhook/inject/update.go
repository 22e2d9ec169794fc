package inject

import (
	"slices"
	"strings"

	"egress.scw/webhook/api/v1alpha1"
)

// NewUpdatePatch returns the patch for a pod that is updated. Where the manifest of
// a pod sets NO_PROXY, JAVA_TOOL_OPTIONS, tolerations, a nodeSelector, or settings that
// the sidecar and closed DNS change, and is applied again, the pod would lose the parts
// that were added at its creation. Kubernetes refuses that, because they never change.
// The patch restores them from the old pod.
//
// A value that differs from the old one by more than such parts is left, so that
// the author of the pod gets the refusal.
func NewUpdatePatch(pod, old *Pod, injection *Injection, buffer []byte) Patch {
	p := &patcher{injection: injection, patch: Patch{JSON: buffer[:0]}}
	known := make(map[string]bool, injection.settled)
	for _, entry := range injection.NoProxy[:injection.settled] {
		known[entry] = true
	}
	// The pod may have been created under another configuration.
	if f := formerOf(old, injection); f != nil {
		for entry := range f.entries {
			known[entry] = true
		}
	}
	noProxy := func(now, was string) bool { return extended(now, was, known) }
	p.restore(pod, old, envNoProxy, noProxy)
	p.restore(pod, old, envNoProxyLower, noProxy)
	p.restore(pod, old, envJava, extendedJava)
	p.restoreSettings(pod.details, old.details)
	p.restoreNodePool(pod, old, injection.nodePool)
	return p.finish()
}

// NewNodePoolUpdatePatch is NewUpdatePatch for a pod that has nothing of the tenant
// but its nodePool.
func NewNodePoolUpdatePatch(pod, old *Pod, tenant *v1alpha1.EgressTenant, buffer []byte) Patch {
	p := &patcher{injection: &Injection{}, patch: Patch{JSON: buffer[:0]}}
	p.restoreNodePool(pod, old, tenant.Spec.NodePool)
	return p.finish()
}

// restoreNodePool adds the labels and tolerations of the pool that the old pod has:
// lists of tolerations are replaced as a whole, and node selectors are by
// server-side apply.
func (p *patcher) restoreNodePool(pod, old *Pod, pool *v1alpha1.NodePool) {
	if pool == nil {
		return
	}
	had := v1alpha1.NodePool{NodeSelector: map[string]string{}}
	if selector, err := old.Spec.nodeSelector(); err == nil {
		for label, value := range pool.NodeSelector {
			if own, set := selector[label]; set && own == value {
				had.NodeSelector[label] = value
			}
		}
	}
	tolerations, _ := old.Spec.tolerations()
	for _, toleration := range pool.Tolerations {
		if slices.Contains(tolerations, withOperator(toleration)) {
			had.Tolerations = append(had.Tolerations, toleration)
		}
	}
	p.nodePool(pod, &had)
}

// restore restores the values of a variable that were extended, of which the function
// decides.
func (p *patcher) restore(pod, old *Pod, name string, extended func(now, was string) bool) {
	p.restoreIn("/spec/initContainers/", pod.Spec.InitContainers, old.Spec.InitContainers, name, extended)
	p.restoreIn("/spec/containers/", pod.Spec.Containers, old.Spec.Containers, name, extended)
}

func (p *patcher) restoreIn(list string, containers, old Containers, name string, extended func(now, was string) bool) {
	for i := range min(len(containers), len(old)) {
		if containers[i].Name != old[i].Name {
			continue
		}
		now, was := containers[i].Env.find(name), old[i].Env.find(name)
		if now == nil || was == nil || now.ValueFrom != nil || was.ValueFrom != nil || now.Value == was.Value || !extended(now.Value, was.Value) {
			continue
		}
		p.add(quote(was.Value), list, itoa(i), "/env/", itoa(now.Index), "/value")
	}
}

// extendedJava reports whether the long value of JAVA_TOOL_OPTIONS is the short one,
// followed by options of ours. Their values may be those of another configuration.
func extendedJava(short, long string) bool {
	added, ok := strings.CutPrefix(long, strings.TrimRight(short, javaSpace))
	if !ok || added == "" {
		return false
	}
	properties := slices.Concat(javaGroups()...)
	for option := range strings.FieldsSeq(added) {
		if !slices.ContainsFunc(properties, func(property string) bool { return strings.HasPrefix(option, property) }) {
			return false
		}
	}
	return true
}

// extended reports whether the long value is the short one, followed by known
// entries, and behind them perhaps by others: those of neighbours that the namespace
// had when the pod was created.
func extended(short, long string, known map[string]bool) bool {
	short = strings.TrimRight(short, ", \t\r\n")
	added, ok := strings.CutPrefix(long, short)
	if !ok || added == "" {
		return false
	}
	if short != "" {
		if added, ok = strings.CutPrefix(added, ","); !ok {
			return false
		}
	}
	first, neighbours := true, false
	for entry := range strings.SplitSeq(added, ",") {
		switch {
		case known[entry] && neighbours, first && !known[entry]:
			return false
		case !known[entry]:
			neighbours = true
		}
		first = false
	}
	return true
}
