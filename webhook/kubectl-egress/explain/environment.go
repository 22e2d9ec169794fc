package explain

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"egress.scw/webhook/api/names"
)

// environment returns the environment of a container as far as its manifest states it:
// of variables with the same name, the last is effective, and $(NAME) refers to
// variables before it. unknown are the names of those with a value from elsewhere, also
// by reference.
func environment(container *corev1.Container) (values map[string]string, unknown []string) {
	values = map[string]string{}
	for _, v := range container.Env {
		refers := func(name string) bool { return strings.Contains(v.Value, "$("+name+")") }
		if v.ValueFrom != nil || slices.ContainsFunc(unknown, refers) {
			delete(values, v.Name)
			unknown = append(unknown, v.Name)
			continue
		}
		values[v.Name] = expand(v.Value, values)
		unknown = slices.DeleteFunc(unknown, func(name string) bool { return name == v.Name })
	}
	return values, unknown
}

// expand replaces references as the kubelet does: $(NAME) by the value, if there is
// one, and $$ by a dollar sign.
func expand(text string, values map[string]string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, after, closed := strings.Cut(strings.TrimPrefix(rest, "("), ")")
		value, known := values[name]
		switch {
		case strings.HasPrefix(rest, "$"):
			out.WriteByte('$')
			text = rest[1:]
		case strings.HasPrefix(rest, "(") && closed && known:
			out.WriteString(value)
			text = after
		case strings.HasPrefix(rest, "(") && closed:
			out.WriteString("$(" + name + ")")
			text = after
		default:
			out.WriteByte('$')
			text = rest
		}
	}
}

// proxyNames are the variables that injection sets, and those of runtimes.
var proxyNames = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"JAVA_TOOL_OPTIONS", "NODE_USE_ENV_PROXY", "PERL_LWP_ENV_PROXY", "MOJO_PROXY",
}

// Variable is an environment variable of a container.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Container is a container and those of its variables that concern the proxy.
type Container struct {
	Name      string     `json:"name"`
	Init      bool       `json:"init,omitempty"`
	Variables []Variable `json:"variables"`
	// Elsewhere are the variables with a value that the manifest does not state.
	Elsewhere []string `json:"elsewhere,omitempty"`
	// Route is the way of the URL in question.
	Route *Route `json:"route,omitempty"`

	values map[string]string
}

// decidesElsewhere returns the name of the first variable that decides about the way of the
// target and has a value that the manifest does not state, "" if there is none. Of the two
// spellings, Go's clients read the lower case if the upper case is not set.
func (c *Container) decidesElsewhere(target Target) string {
	for _, name := range []string{strings.ToUpper(target.URL.Scheme) + "_PROXY", "NO_PROXY"} {
		lower := strings.ToLower(name)
		switch {
		case slices.Contains(c.Elsewhere, name):
			return name
		case c.values[name] == "" && slices.Contains(c.Elsewhere, lower):
			return lower
		}
	}
	return ""
}

// containers returns the containers of a pod but the sidecar.
func containers(pod *corev1.Pod) []Container {
	var found []Container
	add := func(list []corev1.Container, init bool) {
		for i := range list {
			if init && list[i].Name == names.SidecarName {
				continue
			}
			values, unknown := environment(&list[i])
			container := Container{Name: list[i].Name, Init: init, Variables: []Variable{}, values: values}
			for _, name := range proxyNames {
				if value, set := values[name]; set {
					container.Variables = append(container.Variables, Variable{name, value})
				} else if slices.Contains(unknown, name) {
					container.Elsewhere = append(container.Elsewhere, name)
				}
			}
			found = append(found, container)
		}
	}
	add(pod.Spec.InitContainers, true)
	add(pod.Spec.Containers, false)
	return found
}
