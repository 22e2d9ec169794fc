package inject

import (
	"strings"

	"egress.scw/webhook/api/v1alpha1"
)

// Variables of language runtimes.
const (
	envJava       = "JAVA_TOOL_OPTIONS"
	envNode       = "NODE_USE_ENV_PROXY"
	envPerlLWP    = "PERL_LWP_ENV_PROXY"
	envPerlMojo   = "MOJO_PROXY"
	runtimeSwitch = "1" // the value of all but JAVA_TOOL_OPTIONS
)

// switches returns the variables that make the clients of a runtime read the proxy
// variables.
//
// NODE_OPTIONS=--use-env-proxy would do so as well, but keeps Node 20 from starting.
func switches(runtime v1alpha1.Runtime) []string {
	switch runtime {
	case v1alpha1.RuntimeNode:
		return []string{envNode}
	case v1alpha1.RuntimePerl:
		return []string{envPerlLWP, envPerlMojo}
	case v1alpha1.RuntimeJava: // addJavaOptions
	}
	return nil
}

// runtimeVariables are the variables of a pod's runtimes.
type runtimeVariables struct {
	all      []v1alpha1.Runtime
	switches []variable
	// java is JAVA_TOOL_OPTIONS of a container that does not set it, and javaOptions
	// are its options. Both are empty without the runtime Java.
	java        variable
	javaOptions []javaOption
}

// setRuntimes sets the variables of the runtimes. It uses the values of the proxy
// variables.
func (i *Injection) setRuntimes(runtimes []v1alpha1.Runtime) {
	i.runtimes = runtimeVariables{all: runtimes}
	for _, runtime := range runtimes {
		for _, name := range switches(runtime) {
			i.runtimes.switches = append(i.runtimes.switches, newVariable(name, runtimeSwitch))
		}
		if runtime == v1alpha1.RuntimeJava {
			i.runtimes.javaOptions = javaOptions(i.ProxyURL, i.NoProxy)
			i.runtimes.java = newVariable(envJava, addJavaOptions("", i.runtimes.javaOptions))
		}
	}
}

// bytes returns the size of the variables in a patch.
func (r *runtimeVariables) bytes() int {
	size := len(r.java.encoded)
	for _, variable := range r.switches {
		size += len(variable.encoded)
	}
	return size
}

// runtimes plans the variables of runtimes. A switch that the container sets keeps
// its value, also if it is off. JAVA_TOOL_OPTIONS keeps its value too, and gets the
// options that it does not contain.
func (p *envPlan) runtimes(container *Container, injection *Injection, former *former) {
	for i := range injection.runtimes.switches {
		if ours := &injection.runtimes.switches[i]; container.Env.find(ours.name) == nil {
			p.front = append(p.front, ours.encoded)
		}
	}
	own, wanted := container.Env.find(envJava), injection.runtimes.javaOptions
	switch {
	case own == nil && wanted != nil:
		p.front = append(p.front, injection.runtimes.java.encoded)
		if container.EnvFrom {
			p.warn("container %s has envFrom: %s in there has no effect, because that in env takes precedence", p.shown, envJava)
		}
	case own == nil:
	case own.ValueFrom != nil:
		if wanted != nil {
			p.warn("container %s: %s comes from valueFrom, so it is left as it is", p.shown, envJava)
		}
	default:
		if value := addJavaOptions(former.ownJava(own.Value), wanted); value != strings.TrimRight(own.Value, javaSpace) {
			p.extended = append(p.extended, extension{own.Index, value})
		}
	}
}
