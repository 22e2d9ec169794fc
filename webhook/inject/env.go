package inject

import (
	"fmt"
	"strings"

	"egress.scw/webhook/api/noproxy"
)

// variable is an environment variable that injection adds. It is encoded once,
// for all containers.
type variable struct {
	name    string
	encoded string // the JSON of an element of env
}

func newVariable(name, value string) variable {
	return variable{name, `{"name":` + quote(name) + `,"value":` + quote(value) + `}`}
}

// The proxy variables, each in both spellings.
const (
	envHTTPProxy, envHTTPProxyLower   = "HTTP_PROXY", "http_proxy"
	envHTTPSProxy, envHTTPSProxyLower = "HTTPS_PROXY", "https_proxy"
	envNoProxy, envNoProxyLower       = "NO_PROXY", "no_proxy"
)

// knownVariable returns the name if it is that of a variable that injection reads,
// and otherwise an empty string. It does not allocate.
func knownVariable(name []byte) string {
	switch string(name) {
	case envHTTPProxy:
		return envHTTPProxy
	case envHTTPProxyLower:
		return envHTTPProxyLower
	case envHTTPSProxy:
		return envHTTPSProxy
	case envHTTPSProxyLower:
		return envHTTPSProxyLower
	case envNoProxy:
		return envNoProxy
	case envNoProxyLower:
		return envNoProxyLower
	case envJava:
		return envJava
	case envNode:
		return envNode
	case envPerlLWP:
		return envPerlLWP
	case envPerlMojo:
		return envPerlMojo
	default:
		return ""
	}
}

// pair is one injected setting in its two spellings. Every client reads at least
// one of them, and clients differ in which one they prefer (curl and wget read
// http_proxy in lower case only, Go prefers upper case).
type pair struct{ upper, lower variable }

func newPair(upper, lower, value string) pair {
	return pair{newVariable(upper, value), newVariable(lower, value)}
}

// envPlan is the change of one container's environment. Variables are in their
// JSON encoding.
type envPlan struct {
	front    []string    // added before the existing variables
	extended []extension // new values of existing variables
	back     []string    // added after the existing variables
	warnings []string
	shown    string // the name of the container in warnings
}

type extension struct {
	index int // in the existing environment
	value string
}

// newEnvPlan has room for the usual plan: all variables at the front.
func newEnvPlan() envPlan { return envPlan{front: make([]string, 0, 10)} }

func (p *envPlan) warn(format string, arguments ...any) {
	p.warnings = append(p.warnings, fmt.Sprintf(format, arguments...))
}

// set plans the change of a container's environment.
//
//   - A pair that the container does not set is added at the front, because
//     $(HTTP_PROXY) refers only to variables that stand before it.
//   - A variable that the container sets keeps its value. If the container sets
//     one spelling of a pair, the other is added as a reference to it, at the
//     end, where the reference yields the effective value.
//   - The container's own NO_PROXY is extended by the injected entries.
//   - A spelling that refers to the missing one ("http_proxy: $(HTTP_PROXY)")
//     asks for the injected value.
//   - A pair with a value from elsewhere (valueFrom) is left as it is.
//   - A value of a former injection, which may be nil, is not the container's own:
//     it is replaced.
func (p *envPlan) set(container *Container, injection *Injection, former *former) {
	*p = envPlan{front: p.front[:0], shown: shown(container.Name)}
	if container.EnvFrom {
		p.warn("container %s has envFrom: proxy variables in there have no effect, because those in env take precedence", p.shown)
	}
	p.proxy(container, &injection.httpProxy, injection, former)
	p.proxy(container, &injection.httpsProxy, injection, former)
	if upper, lower, ok := p.pair(container, &injection.noProxy); ok {
		p.extend(upper, injection.noProxy.lower.name, injection.NoProxy, former)
		p.extend(lower, injection.noProxy.upper.name, injection.NoProxy, former)
	}
	p.runtimes(container, injection, former)
}

// proxy plans a pair with the address of the proxy.
func (p *envPlan) proxy(container *Container, ours *pair, injection *Injection, former *former) {
	upper, lower, ok := p.pair(container, ours)
	if !ok || former == nil {
		return
	}
	for _, own := range []*EnvVar{upper, lower} {
		if own != nil && own.Value == former.proxyURL && own.Value != injection.ProxyURL {
			p.extended = append(p.extended, extension{own.Index, injection.ProxyURL})
		}
	}
}

// pair plans the missing spellings of a pair, and returns the container's own
// variables, nil for a missing one. It is not ok if a value comes from elsewhere.
func (p *envPlan) pair(container *Container, ours *pair) (upper, lower *EnvVar, ok bool) {
	upper, lower = container.Env.find(ours.upper.name), container.Env.find(ours.lower.name)
	for _, own := range []*EnvVar{upper, lower} {
		if own != nil && own.ValueFrom != nil {
			p.warn("container %s: %s comes from valueFrom, so %s and %s are left as they are",
				p.shown, own.Name, ours.upper.name, ours.lower.name)
			return nil, nil, false
		}
	}
	switch {
	case upper == nil && lower == nil:
		p.front = append(p.front, ours.upper.encoded, ours.lower.encoded)
	case upper == nil:
		p.missing(&ours.upper, lower)
	case lower == nil:
		p.missing(&ours.lower, upper)
	}
	return upper, lower, true
}

// missing adds the spelling that the container lacks.
func (p *envPlan) missing(ours *variable, own *EnvVar) {
	if refersTo(own.Value, ours.name) {
		p.front = append(p.front, ours.encoded)
		return
	}
	p.back = append(p.back, newVariable(ours.name, reference(own.Name)).encoded)
}

// extend adds the injected entries to the container's own variable, if there is
// one. A variable that refers to the other spelling gets them from there.
func (p *envPlan) extend(own *EnvVar, other string, entries []string, former *former) {
	if own == nil || refersTo(own.Value, other) {
		return
	}
	if merged := noproxy.Merge(former.ownPart(own.Value), entries); merged != own.Value {
		p.extended = append(p.extended, extension{own.Index, merged})
	}
}

// reference returns the text that the kubelet replaces by the variable's value.
func reference(name string) string { return "$(" + name + ")" }

// refersTo reports whether a value contains a reference to the variable, as the
// kubelet reads it: "$$" stands for a dollar sign, so that "$$(NAME)" is none.
func refersTo(value, name string) bool {
	for {
		// No reference is built for the usual value, which has none.
		start := strings.IndexByte(value, '$')
		if start < 0 || start == len(value)-1 {
			return false
		}
		value = value[start+1:]
		switch value[0] {
		case '$':
			value = value[1:]
		case '(':
			if strings.HasPrefix(value[1:], name) && strings.HasPrefix(value[1+len(name):], ")") {
				return true
			}
			end := strings.IndexByte(value, ')')
			if end < 0 {
				return false // nor is any later reference closed
			}
			value = value[end+1:] // the kubelet goes on behind the reference
		}
	}
}
