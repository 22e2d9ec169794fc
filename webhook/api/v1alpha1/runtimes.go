package v1alpha1

import (
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Runtime is a language runtime whose clients do not read the proxy variables
// unless a further variable asks for it.
//
// +kubebuilder:validation:Enum=Java;Node;Perl
type Runtime string

const (
	// RuntimeJava sets the proxy in JAVA_TOOL_OPTIONS, which every Java VM reads.
	RuntimeJava Runtime = "Java"
	// RuntimeNode sets NODE_USE_ENV_PROXY, which Node 22, 24 and 26 read, Node 18 and 20 not.
	RuntimeNode Runtime = "Node"
	// RuntimePerl sets PERL_LWP_ENV_PROXY and MOJO_PROXY, for LWP and Mojolicious.
	RuntimePerl Runtime = "Perl"
)

// Runtimes returns every runtime, sorted.
func Runtimes() []Runtime { return []Runtime{RuntimeJava, RuntimeNode, RuntimePerl} }

// ValidateRuntimes returns an error for every unknown and every repeated item of the
// list, with its index below the path.
func ValidateRuntimes(list []Runtime, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(list) > len(Runtimes()) {
		errs = append(errs, field.TooMany(path, len(list), len(Runtimes())))
	}
	for i, runtime := range list {
		switch {
		case !slices.Contains(Runtimes(), runtime):
			errs = append(errs, field.NotSupported(path.Index(i), runtime, Runtimes()))
		case slices.Contains(list[:i], runtime):
			errs = append(errs, field.Duplicate(path.Index(i), runtime))
		}
	}
	return errs
}
