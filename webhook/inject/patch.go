package inject

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"egress.scw/webhook/api/names"
)

// Patch is a JSON patch (RFC 6902). Its operations add variables, the sidecar with the
// settings that it needs, and the status annotation, extend the values of a container's
// own NO_PROXY and JAVA_TOOL_OPTIONS, and replace values of a former injection.
type Patch struct {
	// JSON is the encoded list of operations. It is empty if there are none,
	// which is so for a pod that has already been injected.
	JSON []byte
	// Operations is the number of operations.
	Operations int
	// Warnings are addressed to the author of the pod.
	Warnings []string
}

// NewPatch returns the patch that applies the injection to a pod. It is written
// into the buffer, which may be nil, as far as that has room. The pod's details
// must have been read if the injection needs them.
func NewPatch(pod *Pod, injection *Injection, buffer []byte) Patch {
	p := newPatcher(pod, injection, buffer)
	p.former = formerOf(pod, injection)
	p.containers("/spec/initContainers/", pod.Spec.InitContainers)
	p.containers("/spec/containers/", pod.Spec.Containers)
	p.containers("/spec/ephemeralContainers/", pod.Spec.EphemeralContainers)
	if len(pod.Spec.Containers) > 0 { // as for nodePool
		p.sidecar(pod.details)
		p.dns(pod.details)
	}
	p.nodePool(pod, injection.nodePool)
	p.status(pod.Metadata)
	return p.finish()
}

// NewEphemeralPatch returns the patch for the ephemeral containers that the pod
// has and its old state has not. It changes nothing else, because the API
// server refuses other changes in a request of pods/ephemeralcontainers. The
// variables lead to the sidecar if the pod has it, whatever its tenant has by now.
func NewEphemeralPatch(pod, old *Pod, injection *Injection, buffer []byte) Patch {
	p := newPatcher(pod, injection.of(old), buffer)
	if injection.sidecarRequired && p.injection.ProxyURL == injection.portURL {
		p.warn("the pod was created without the sidecar, and the proxy accepts no connection without its certificate: create the pod again")
	}
	for _, container := range old.Spec.EphemeralContainers {
		p.skip[container.Name] = true
	}
	p.containers("/spec/ephemeralContainers/", pod.Spec.EphemeralContainers)
	return p.finish()
}

// PatchBytes returns a bound on the size of the patch for a pod.
func (i *Injection) PatchBytes(pod *Pod) int {
	const path, operations = 64, 12 // of one container
	variables := 2*(len(i.httpProxy.upper.encoded)+len(i.httpsProxy.upper.encoded)+len(i.noProxy.upper.encoded)) + i.runtimes.bytes()
	size := 2*len(i.Status) + i.sidecar.bytes()
	for _, list := range []Containers{pod.Spec.InitContainers, pod.Spec.Containers, pod.Spec.EphemeralContainers} {
		size += len(list) * (variables + operations*path)
		for _, container := range list {
			for _, own := range container.Env {
				size += 6 * len(own.Value) // an escaped byte may have six
			}
		}
	}
	return size
}

// patcher writes the operations in their JSON encoding, and mostly from parts
// that were encoded once for all pods of the namespace.
type patcher struct {
	injection *Injection
	former    *former
	skip      map[string]bool // names of containers
	plan      envPlan         // of the current container
	patch     Patch
}

func newPatcher(pod *Pod, injection *Injection, buffer []byte) *patcher {
	p := &patcher{injection: injection, skip: make(map[string]bool), plan: newEnvPlan(), patch: Patch{JSON: buffer[:0]}}
	for _, name := range injection.Skip {
		p.skip[name] = true
	}
	if injection.sidecar != nil {
		p.skip[names.SidecarName] = true
	}
	if unknown := pod.Spec.without(injection.Skip); len(unknown) > 0 {
		p.warn(fmt.Sprintf("annotation %s names containers that the pod does not have: %s",
			names.AnnotationSkipContainers, listSome(unknown, 5)))
	}
	return p
}

func (p *patcher) containers(list string, containers []Container) {
	for i := range containers {
		container := &containers[i]
		// A container without a name is refused by the API server, which
		// validates the pod after the webhook.
		if container.Name == "" || p.skip[container.Name] {
			continue
		}
		p.plan.set(container, p.injection, p.former)
		p.warn(p.plan.warnings...)
		if container.Env == nil {
			p.newEnv(list, itoa(i))
		} else {
			p.extendEnv(list, itoa(i))
		}
	}
}

// newEnv adds an environment where there is none: "add" sets an absent field as
// well as one that is null. The plan has variables at the front only.
func (p *patcher) newEnv(list, container string) {
	p.begin(list, container, "/env")
	for i, variable := range p.plan.front {
		p.write(separator(i), variable)
	}
	p.write("]")
	p.end()
}

// separator is written before the element of a JSON list that has this index.
func separator(index int) string {
	if index == 0 {
		return "["
	}
	return ","
}

// extendEnv changes an environment. Extended values come first, while the
// indexes are still those of the plan.
func (p *patcher) extendEnv(list, container string) {
	for _, e := range p.plan.extended {
		// "add" replaces a value. The field may be missing: an empty value is
		// not encoded.
		p.add(quote(e.value), list, container, "/env/", itoa(e.index), "/value")
	}
	for i, variable := range p.plan.front {
		p.add(variable, list, container, "/env/", itoa(i))
	}
	for _, variable := range p.plan.back {
		p.add(variable, list, container, "/env/-")
	}
}

// status writes the annotation. "add" replaces an existing value (RFC 6902,
// section 4.1), so each case needs one operation only.
func (p *patcher) status(metadata *Metadata) {
	status := &p.injection.encodedStatus
	switch {
	case metadata == nil:
		p.add(status.metadata, "/metadata")
	case metadata.Annotations == nil:
		p.add(status.annotations, "/metadata/annotations")
	case metadata.Annotations[names.AnnotationStatus] != p.injection.Status:
		p.add(status.value, "/metadata/annotations/", escape(names.AnnotationStatus))
	}
}

// add writes an operation whose path consists of the given parts, which need no
// escaping.
func (p *patcher) add(value string, path ...string) {
	p.begin(path...)
	p.write(value)
	p.end()
}

// replace writes an operation that replaces an item of a list.
func (p *patcher) replace(value string, path ...string) {
	p.operation("replace", path)
	p.write(`,"value":`, value)
	p.end()
}

// remove writes an operation that removes an item of a list.
func (p *patcher) remove(path ...string) {
	p.operation("remove", path)
	p.end()
}

func (p *patcher) begin(path ...string) {
	p.operation("add", path)
	p.write(`,"value":`)
}

// operation writes the beginning of an operation.
func (p *patcher) operation(name string, path []string) {
	p.write(separator(p.patch.Operations), `{"op":"`, name, `","path":"`)
	p.write(path...)
	p.write(`"`)
}

func (p *patcher) end() {
	p.write("}")
	p.patch.Operations++
}

func (p *patcher) write(parts ...string) {
	for _, part := range parts {
		p.patch.JSON = append(p.patch.JSON, part...)
	}
}

func (p *patcher) warn(warnings ...string) {
	p.patch.Warnings = append(p.patch.Warnings, warnings...)
}

func (p *patcher) finish() Patch {
	if p.patch.Operations > 0 {
		p.write("]")
	}
	return p.patch
}

func itoa(index int) string { return strconv.Itoa(index) }

// escape writes the name of a field as a part of a JSON pointer (RFC 6901,
// section 3).
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// quote encodes a string as JSON. It replaces bytes that are not valid UTF-8.
func quote(text string) string {
	quoted, _ := jsontext.AppendQuote(nil, text) // the error only reports the replacement
	return string(quoted)
}
