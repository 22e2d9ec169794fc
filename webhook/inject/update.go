package inject

import "strings"

// NewUpdatePatch returns the patch for a pod that is updated. Where the manifest of
// a pod sets NO_PROXY, and is applied again, the pod would lose the entries that
// were added at its creation. Kubernetes refuses that, because the environment of a
// pod never changes. The patch gives such a variable the value of the old pod.
//
// A value that differs from the old one by more than such entries is left, so that
// the author of the pod gets the refusal.
func NewUpdatePatch(pod, old *Pod, injection *Injection, buffer []byte) Patch {
	p := &patcher{injection: injection, patch: Patch{JSON: buffer[:0]}}
	known := make(map[string]bool, len(injection.NoProxy))
	for _, entry := range injection.NoProxy {
		known[entry] = true
	}
	// The pod may have been created under another configuration.
	if f := formerOf(old, injection); f != nil {
		for entry := range f.entries {
			known[entry] = true
		}
	}
	p.restore("/spec/initContainers/", pod.Spec.InitContainers, old.Spec.InitContainers, known)
	p.restore("/spec/containers/", pod.Spec.Containers, old.Spec.Containers, known)
	return p.finish()
}

func (p *patcher) restore(list string, containers, old Containers, known map[string]bool) {
	for i := range min(len(containers), len(old)) {
		if containers[i].Name != old[i].Name {
			continue
		}
		for _, name := range []string{envNoProxy, envNoProxyLower} {
			now, was := containers[i].Env.find(name), old[i].Env.find(name)
			if now == nil || was == nil || now.ValueFrom != nil || was.ValueFrom != nil || now.Value == was.Value || !extended(now.Value, was.Value, known) {
				continue
			}
			p.add(quote(was.Value), list, itoa(i), "/env/", itoa(now.Index), "/value")
		}
	}
}

// extended reports whether the long value is the short one, followed by known
// entries.
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
	for entry := range strings.SplitSeq(added, ",") {
		if !known[entry] {
			return false
		}
	}
	return true
}
