package inject

import (
	"fmt"
	"strconv"
	"strings"

	"gomodules.xyz/jsonpatch/v2"

	"egress.scw/webhook/api/names"
)

// Patch returns the operations that give the pod what was computed for it, and
// warnings for whoever made it. They add variables and the status annotation,
// and extend the value of a container's own NO_PROXY. A pod that has it all
// gets none.
func Patch(pod *Pod, injection *Injection) ([]jsonpatch.Operation, []string) {
	p := newPatcher(pod, injection)
	p.containers("/spec/initContainers/", pod.Spec.InitContainers)
	p.containers("/spec/containers/", pod.Spec.Containers)
	p.containers("/spec/ephemeralContainers/", pod.Spec.EphemeralContainers)
	p.status(pod.Metadata, injection.Status)
	return p.operations, p.warnings
}

// PatchEphemeral returns the operations for the ephemeral containers that the
// pod has and its old state has not. Nothing else is touched, as the API server
// refuses any other change in a request of pods/ephemeralcontainers.
func PatchEphemeral(pod, old *Pod, injection *Injection) ([]jsonpatch.Operation, []string) {
	p := newPatcher(pod, injection)
	for _, container := range old.Spec.EphemeralContainers {
		p.skip[container.Name] = true
	}
	p.containers("/spec/ephemeralContainers/", pod.Spec.EphemeralContainers)
	return p.operations, p.warnings
}

type patcher struct {
	injection  *Injection
	skip       map[string]bool // containers' names
	operations []jsonpatch.Operation
	warnings   []string
}

func newPatcher(pod *Pod, injection *Injection) *patcher {
	// Mostly six variables for every container, and the status; and mostly few containers.
	room := min(6*pod.Spec.containers()+1, 64)
	p := &patcher{injection: injection, skip: make(map[string]bool), operations: make([]jsonpatch.Operation, 0, room)}
	for _, name := range injection.Skip {
		p.skip[name] = true
	}
	if unknown := pod.Spec.without(injection.Skip); len(unknown) > 0 {
		p.warnings = append(p.warnings, fmt.Sprintf("annotation %s names containers that the pod does not have: %s",
			names.AnnotationSkipContainers, listSome(unknown, 5)))
	}
	return p
}

func (p *patcher) containers(path string, containers []Container) {
	for i := range containers {
		container := &containers[i]
		// The API server refuses a container without a name after us.
		if container.Name == "" || p.skip[container.Name] {
			continue
		}
		p.env(path+strconv.Itoa(i)+"/env", container)
	}
}

// env writes what was planned for one container. Extended values come first, as
// long as the indexes are those of the plan.
func (p *patcher) env(path string, container *Container) {
	plan := planEnv(container, p.injection)
	p.warnings = append(p.warnings, plan.warnings...)
	if container.Env == nil {
		// Absent or null: "add" sets both. Nothing is there to be extended.
		p.add(path, plan.front)
		return
	}
	for _, e := range plan.extended {
		// "add" replaces a value, and there may be none: an empty one is left out.
		p.add(path+"/"+strconv.Itoa(e.index)+"/value", e.value)
	}
	for i, v := range plan.front {
		p.add(path+"/"+strconv.Itoa(i), v)
	}
	for _, v := range plan.back {
		p.add(path+"/-", v)
	}
}

// status writes the annotation. "add" replaces a value that is there already
// (RFC 6902, section 4.1), so each case needs one operation only.
func (p *patcher) status(metadata *Metadata, value string) {
	switch {
	case metadata == nil:
		p.add("/metadata", map[string]any{"annotations": statusAnnotation(value)})
	case metadata.Annotations == nil:
		p.add("/metadata/annotations", statusAnnotation(value))
	case metadata.Annotations[names.AnnotationStatus] != value:
		p.add("/metadata/annotations/"+escape(names.AnnotationStatus), value)
	}
}

func statusAnnotation(value string) map[string]string {
	return map[string]string{names.AnnotationStatus: value}
}

func (p *patcher) add(path string, value any) {
	p.operations = append(p.operations, jsonpatch.NewOperation("add", path, value))
}

// escape writes a field's name as part of a JSON pointer (RFC 6901, section 3).
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}
