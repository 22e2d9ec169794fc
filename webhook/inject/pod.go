package inject

import "slices"

// Pod is the part of a pod that injection reads, to be decoded from the JSON
// that the API server sent. It must be decoded strictly (sigs.k8s.io/json, case
// sensitive and without duplicate fields): of two fields that read as one, a
// patch might change the other.
type Pod struct {
	// Metadata is nil if the pod has none, which matters for adding to it.
	Metadata *Metadata `json:"metadata"`
	Spec     Spec      `json:"spec"`
}

// Metadata is the part of a pod's metadata that injection reads.
type Metadata struct {
	Name         string            `json:"name"`
	GenerateName string            `json:"generateName"`
	Labels       map[string]string `json:"labels"`
	// Annotations are nil if there is no such object, which matters for
	// adding to it.
	Annotations map[string]string `json:"annotations"`
}

// Spec is the part of a pod's spec that injection reads.
type Spec struct {
	InitContainers      []Container `json:"initContainers"`
	Containers          []Container `json:"containers"`
	EphemeralContainers []Container `json:"ephemeralContainers"`
}

// containers counts those of every kind.
func (s *Spec) containers() int {
	return len(s.InitContainers) + len(s.Containers) + len(s.EphemeralContainers)
}

// without returns those of the names that are no container's.
func (s *Spec) without(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	known := make(map[string]bool)
	for _, list := range [][]Container{s.InitContainers, s.Containers, s.EphemeralContainers} {
		for _, container := range list {
			known[container.Name] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return known[name] })
}

// Container is the part of a container that injection reads.
type Container struct {
	Name string `json:"name"`
	// Env is nil if there is no such list, which matters for adding to it.
	Env []EnvVar `json:"env"`
}

// EnvVar is an environment variable of a container. Of several with one name,
// the last is effective.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// ValueFrom is not nil if the value comes from somewhere else.
	ValueFrom *struct{} `json:"valueFrom"`
}

// DisplayName names the pod in logs: a pod that a controller makes has no name
// yet when it is admitted, only the beginning of one.
func (p *Pod) DisplayName() string {
	switch {
	case p.Metadata == nil:
		return ""
	case p.Metadata.Name == "" && p.Metadata.GenerateName != "":
		return p.Metadata.GenerateName + "*"
	default:
		return p.Metadata.Name
	}
}

// Annotations returns the pod's annotations, which may be nil.
func (p *Pod) Annotations() map[string]string {
	if p.Metadata == nil {
		return nil
	}
	return p.Metadata.Annotations
}

func (p *Pod) labels() map[string]string {
	if p.Metadata == nil {
		return nil
	}
	return p.Metadata.Labels
}
