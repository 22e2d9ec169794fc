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
	entries  map[string]bool // of NO_PROXY
	java     map[string]bool // options in JAVA_TOOL_OPTIONS
}

// formerOf returns the former values of a pod, or nil if it has none.
//
// The status annotation alone is no evidence, because every author of a pod can
// write it. The pod must have the values that the status identifies.
func formerOf(pod *Pod, injection *Injection) *former {
	text := pod.Annotations()[names.AnnotationStatus]
	if text == "" || text == injection.Status {
		return nil
	}
	var status names.InjectionStatus
	if json.Unmarshal([]byte(text), &status) != nil || status.Values == "" || status.Values == injection.values {
		return nil
	}
	proxies := valuesOf(pod, envHTTPProxy, envHTTPProxyLower, envHTTPSProxy, envHTTPSProxyLower)
	for _, noProxy := range valuesOf(pod, envNoProxy, envNoProxyLower) {
		for _, proxy := range proxies {
			if hash(proxy, noProxy) == status.Values {
				return newFormer(proxy, noProxy)
			}
		}
	}
	return nil
}

func newFormer(proxyURL, noProxy string) *former {
	f := &former{proxyURL: proxyURL, entries: make(map[string]bool), java: make(map[string]bool)}
	entries := strings.Split(noProxy, ",")
	for _, entry := range entries {
		f.entries[entry] = true
	}
	for _, option := range javaOptions(proxyURL, entries) {
		f.java[option.String()] = true
	}
	return f
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

// ownPart returns a value of NO_PROXY without the entries at its end that were
// injected: the part that the container sets itself, which may be empty.
func (f *former) ownPart(value string) string {
	if f == nil {
		return value
	}
	for {
		cut := strings.LastIndexByte(value, ',')
		if !f.entries[value[cut+1:]] {
			return value
		}
		if cut < 0 {
			return ""
		}
		value = value[:cut]
	}
}

// ownJava returns a value of JAVA_TOOL_OPTIONS without the options at its end that
// were injected.
func (f *former) ownJava(value string) string {
	if f == nil {
		return value
	}
	for {
		cut := strings.LastIndexByte(value, ' ')
		if !f.java[value[cut+1:]] {
			return value
		}
		value = value[:max(cut, 0)]
	}
}
