package inject

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Pod is the part of a pod that injection reads. It is to be decoded from the
// JSON that the API server sent by go-json-experiment/json, which matches names
// of fields in their exact case and refuses duplicate names: of two fields that
// are read as one, a patch might change the other.
type Pod struct {
	// Metadata is nil if the pod has none, because adding to it differs then.
	Metadata *Metadata `json:"metadata"`
	Spec     Spec      `json:"spec"`
}

// Metadata is the part of a pod's metadata that injection reads.
type Metadata struct {
	Name         string            `json:"name"`
	GenerateName string            `json:"generateName"`
	Labels       map[string]string `json:"labels"`
	// Annotations are nil if there is no such object, because adding to it
	// differs then.
	Annotations map[string]string `json:"annotations"`

	CreationTimestamp Skipped `json:"creationTimestamp"`
	ManagedFields     Skipped `json:"managedFields"`
	OwnerReferences   Skipped `json:"ownerReferences"`
}

// Spec is the part of a pod's spec that injection reads.
type Spec struct {
	InitContainers      []Container `json:"initContainers"`
	Containers          []Container `json:"containers"`
	EphemeralContainers []Container `json:"ephemeralContainers"`

	Affinity        Skipped `json:"affinity"`
	SecurityContext Skipped `json:"securityContext"`
	Tolerations     Skipped `json:"tolerations"`
	Volumes         Skipped `json:"volumes"`
}

// containers returns the number of containers of every kind.
func (s *Spec) containers() int {
	return len(s.InitContainers) + len(s.Containers) + len(s.EphemeralContainers)
}

// without returns the given names that no container has.
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
	// Env is nil if there is no such list, because adding to it differs then.
	Env []EnvVar `json:"env"`

	Image                    Skipped `json:"image"`
	ImagePullPolicy          Skipped `json:"imagePullPolicy"`
	LivenessProbe            Skipped `json:"livenessProbe"`
	Ports                    Skipped `json:"ports"`
	ReadinessProbe           Skipped `json:"readinessProbe"`
	Resources                Skipped `json:"resources"`
	SecurityContext          Skipped `json:"securityContext"`
	StartupProbe             Skipped `json:"startupProbe"`
	TerminationMessagePath   Skipped `json:"terminationMessagePath"`
	TerminationMessagePolicy Skipped `json:"terminationMessagePolicy"`
	VolumeMounts             Skipped `json:"volumeMounts"`
}

// EnvVar is an environment variable of a container. If several have one name,
// the last is effective.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// ValueFrom is not nil if the value comes from another object.
	ValueFrom *Skipped `json:"valueFrom"`
}

// Skipped is a field that is checked for JSON errors but not stored. Unknown
// fields are too, but the decoder looks those up in several ways, and reads them
// token by token. The usual fields of a pod are declared to save that time, and
// for no other reason.
type Skipped struct{}

// UnmarshalJSONFrom reads any JSON value.
func (*Skipped) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	_, err := decoder.ReadValue()
	return err
}

// DisplayName returns the name of the pod for logs. A pod that is created by a
// controller has no name yet when it is admitted, only a prefix.
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
