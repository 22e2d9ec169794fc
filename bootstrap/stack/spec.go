package stack

import "egress.scw/bootstrap/config"

// Spec is the stack to provision: the content of a valid egress.yaml with its
// defaults.
type Spec struct {
	// Name is the name of the stack.
	Name string

	// ReplaceAtOnce is whether machines are replaced without waiting for others that serve.
	ReplaceAtOnce bool

	// KeepMachines postpones the replacement of every machine that serves sidecars, also of
	// the first one: sidecars do not trust another machine yet.
	KeepMachines bool

	config.Spec
}

// NewSpec returns the stack of a valid configuration whose defaults are set. The
// project is the one of the credentials, for configurations without a project.
func NewSpec(egress *config.Egress, project string) Spec {
	spec := Spec{Name: egress.Metadata.Name, Spec: egress.Spec}
	if spec.Project == "" {
		spec.Project = project
	}
	return spec
}
