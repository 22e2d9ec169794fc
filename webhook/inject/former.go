package inject

import (
	"encoding/json"
	"slices"
	"strings"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/noproxy"
)

// former are the values with which a pod was injected under another configuration:
// it was restored from a backup, or copied, perhaps from the namespace of another
// tenant. They are the webhook's own values, and are brought up to date.
type former struct {
	proxyURL string
	// entries are those of NO_PROXY, with those of the pod's annotation.
	entries map[string]bool
}

// formerOf returns the former values of a pod, or nil if it has none.
//
// The status annotation alone is no evidence, because every author of a pod can
// write it. The pod must have the values whose hash the status contains.
func formerOf(pod *Pod, injection *Injection) *former {
	text := pod.Annotations()[names.AnnotationStatus]
	if text == "" || text == injection.Status {
		return nil
	}
	var status names.InjectionStatus
	if json.Unmarshal([]byte(text), &status) != nil || status.Hash == "" || status.Hash == injection.hash {
		return nil
	}
	own := entriesOf(pod.Annotations()[names.AnnotationNoProxy])
	proxies := valuesOf(pod, envHTTPProxy, envHTTPProxyLower, envHTTPSProxy, envHTTPSProxyLower)
	for _, value := range valuesOf(pod, envNoProxy, envNoProxyLower) {
		for _, noProxy := range withoutOwn(value, own) {
			for _, proxy := range proxies {
				if hash(proxy, noProxy) == status.Hash {
					return newFormer(proxy, value)
				}
			}
		}
	}
	return nil
}

func newFormer(proxyURL, noProxy string) *former {
	f := &former{proxyURL: proxyURL, entries: make(map[string]bool)}
	for _, entry := range entriesOf(noProxy) {
		f.entries[entry] = true
	}
	return f
}

func entriesOf(noProxy string) []string {
	return strings.FieldsFunc(noProxy, func(r rune) bool { return r == ',' || r == ' ' })
}

// maxFormerValues bounds the distinct values that are compared with the hash. A pod
// that was injected has one of each, and those that its containers set themselves.
const maxFormerValues = 8

// valuesOf returns the distinct values of the variables, in all containers, that
// are not longer than injected ones.
func valuesOf(pod *Pod, variables ...string) []string {
	var values []string
	for _, list := range []Containers{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			for _, name := range variables {
				v := list[i].Env.find(name)
				if v == nil || v.ValueFrom != nil || len(v.Value) > noproxy.MaxBytes || slices.Contains(values, v.Value) {
					continue
				}
				if values = append(values, v.Value); len(values) == maxFormerValues {
					return values
				}
			}
		}
	}
	return values
}

// withoutOwn returns the value of NO_PROXY, and the value without any number of
// the pod's own entries at its end. The hash does not cover these, and an entry of
// the annotation may be missing there, because the list had it already.
func withoutOwn(value string, own []string) []string {
	values := []string{value}
	for range 2 * len(own) { // names are added in two forms
		cut := strings.LastIndexByte(value, ',')
		if cut < 0 {
			break
		}
		value = value[:cut]
		values = append(values, value)
	}
	return values
}

// ownPart returns a value of NO_PROXY without the entries at its end that were
// injected: the part that the container sets itself, which may be empty.
func (f *former) ownPart(value string) string {
	if f == nil {
		return value
	}
	entries := strings.Split(value, ",")
	for len(entries) > 0 && f.entries[entries[len(entries)-1]] {
		entries = entries[:len(entries)-1]
	}
	return strings.Join(entries, ",")
}
