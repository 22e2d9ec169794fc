package inject

import (
	"fmt"
	"slices"
	"strings"

	"egress.scw/webhook/api/noproxy"
)

// variable is an environment variable as it is written.
type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// pair is one setting as we give it, in its two spellings. Every client reads
// at least one of them, and which one it prefers differs (curl and wget read
// http_proxy in lower case only, Go prefers upper case).
type pair [2]*variable

func newPair(upper, lower, value string) pair {
	return pair{{upper, value}, {lower, value}}
}

// envPlan is what changes in the environment of one container.
type envPlan struct {
	front    []*variable // goes before everything that is there
	extended []extension // new values, by index in the list as it is
	back     []*variable // goes after everything that is there
	warnings []string
}

type extension struct {
	index int
	value string
}

// planEnv decides what a container's environment needs.
//
//   - A pair that the container does not set is ours. It goes to the front, as
//     $(HTTP_PROXY) only refers to what stands before.
//   - What the container sets is its own: of a pair with one spelling, the
//     other one refers to it, from the end, where it sees the effective value.
//   - Its own NO_PROXY is extended by our entries.
//   - A spelling that refers to the missing one ("http_proxy: $(HTTP_PROXY)")
//     asks for ours.
//   - A pair of which a value comes from elsewhere stays as it is.
func planEnv(container *Container, injection *Injection) envPlan {
	// Mostly, all is ours.
	plan := envPlan{front: make([]*variable, 0, 6)}
	plan.pair(container, injection.httpProxy, nil)
	plan.pair(container, injection.httpsProxy, nil)
	plan.pair(container, injection.noProxy, injection.NoProxy)
	return plan
}

// pair plans one pair. The entries to merge are nil for a plain value.
func (p *envPlan) pair(container *Container, ours pair, merge []string) {
	upper, lower := effective(container.Env, ours[0].Name), effective(container.Env, ours[1].Name)
	for _, own := range []int{upper, lower} {
		if own >= 0 && container.Env[own].ValueFrom != nil {
			p.warnings = append(p.warnings, fmt.Sprintf("container %s: %s comes from valueFrom, so %s and %s are left as they are",
				container.Name, container.Env[own].Name, ours[0].Name, ours[1].Name))
			return
		}
	}
	switch {
	case upper < 0 && lower < 0:
		p.front = append(p.front, ours[0], ours[1])
	case upper < 0:
		p.missing(ours[0], container.Env[lower])
	case lower < 0:
		p.missing(ours[1], container.Env[upper])
	}
	if merge != nil {
		p.extend(container, upper, ours[1].Name, merge)
		p.extend(container, lower, ours[0].Name, merge)
	}
}

// missing adds the spelling that the container lacks.
func (p *envPlan) missing(ours *variable, own EnvVar) {
	if refersTo(own.Value, ours.Name) {
		p.front = append(p.front, ours)
		return
	}
	p.back = append(p.back, &variable{ours.Name, reference(own.Name)})
}

// extend adds our entries to the container's own, if it has any there, and
// they are not those of the other spelling.
func (p *envPlan) extend(container *Container, index int, other string, entries []string) {
	if index < 0 || refersTo(container.Env[index].Value, other) {
		return
	}
	own := container.Env[index].Value
	if merged := noproxy.Merge(own, entries); merged != own {
		p.extended = append(p.extended, extension{index, merged})
	}
}

// effective returns the index of the variable as the container sees it, or -1.
func effective(env []EnvVar, name string) int {
	for i, variable := range slices.Backward(env) {
		if variable.Name == name {
			return i
		}
	}
	return -1
}

// reference is what the kubelet replaces by the value of a variable.
func reference(name string) string { return "$(" + name + ")" }

func refersTo(value, name string) bool {
	return strings.Contains(value, reference(name))
}
