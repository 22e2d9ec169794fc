package inject

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"egress.scw/webhook/api/names"
)

// sysctlPortStart is the lowest port that a process without privileges may listen on.
// Kubernetes counts it among the safe ones, which every Pod Security Standard admits.
const sysctlPortStart = "net.ipv4.ip_unprivileged_port_start"

// NeedsDetails reports whether the details of a pod are to be read before its patch is
// computed.
func (i *Injection) NeedsDetails() bool { return i.sidecar != nil || i.dns != nil }

// Examine reads the details of a pod that is created, if the injection needs them, from
// the text that the pod was decoded from. The error is a *Refusal if they cannot be
// read, or if the pod has settings with which the sidecar cannot work.
func (i *Injection) Examine(pod *Pod, text []byte) error {
	if !i.NeedsDetails() {
		return nil
	}
	if err := pod.ReadDetails(text); err != nil {
		return &Refusal{names.ReasonSidecarConflict, err.Error()}
	}
	if refusal := i.conflict(pod); refusal != nil {
		return refusal
	}
	return nil
}

// conflict returns a Refusal if the pod has settings with which the sidecar cannot
// work, and nil otherwise.
func (i *Injection) conflict(pod *Pod) *Refusal {
	if i.sidecar == nil {
		return nil
	}
	details := pod.details
	var problems []string
	named := func(container Container) bool { return container.Name == names.SidecarName }
	if slices.ContainsFunc(pod.Spec.Containers, named) || slices.ContainsFunc(pod.Spec.EphemeralContainers, named) {
		problems = append(problems, fmt.Sprintf("a container has the name %s, which is that of the sidecar: rename it", names.SidecarName))
	}
	if details.hostNetwork {
		problems = append(problems, "spec.hostNetwork is true: the sidecar would listen on the node's loopback address")
	}
	if own, isSet := details.portStart(); isSet && i.sidecar.lowestPort > 0 {
		if lowest, err := strconv.ParseUint(own, 10, 16); err != nil || lowest > uint64(i.sidecar.lowestPort) {
			problems = append(problems, fmt.Sprintf("sysctl %s is %q in spec.securityContext, but the sidecar listens on port %d: remove it",
				sysctlPortStart, own, i.sidecar.lowestPort))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &Refusal{names.ReasonSidecarConflict, "the pod cannot get the sidecar: " + strings.Join(problems, "; ")}
}

// portStart returns the pod's own value of sysctlPortStart, and whether it has one.
func (d *details) portStart() (value string, isSet bool) {
	if d.security == nil {
		return "", false
	}
	for _, sysctl := range d.security.Sysctls {
		if sysctl.Name == sysctlPortStart {
			return sysctl.Value, true
		}
	}
	return "", false
}

// sidecar adds the container, its volume, and the settings of the pod that it needs.
// The operations on initContainers change the positions of the others, and have to be
// the last ones about them.
func (p *patcher) sidecar(details *details) {
	sidecar := p.injection.sidecar
	if sidecar == nil {
		return
	}
	p.container(sidecar.containerFor(details), &details.initContainers.namedElement)
	p.volume(&sidecar.volume, &details.volumes)
	if !details.initContainers.exists() { // with the sidecar, the pod's own resources have been raised
		p.raise(details.resources, sidecar)
	}
	if sidecar.lowestPort > 0 {
		p.sysctl(details)
	}
}

// container makes the sidecar the first init container, so that it starts before all
// other containers. One of its name that differs, of another version or the client's
// own, is replaced.
func (p *patcher) container(ours *element, own *namedElement) {
	const at = "/spec/initContainers"
	switch {
	case !own.isList:
		p.add("["+ours.encoded+"]", at)
	case !own.exists():
		p.add(ours.encoded, at+"/0")
	case own.index > 0:
		p.remove(at, "/", itoa(own.index))
		p.add(ours.encoded, at+"/0")
	case !contains(decodeJSON(own.json), ours.decoded):
		p.replace(ours.encoded, at+"/0")
	}
}

func (p *patcher) volume(ours *element, own *namedElement) {
	const at = "/spec/volumes"
	switch {
	case !own.isList:
		p.add("["+ours.encoded+"]", at)
	case !own.exists():
		p.add(ours.encoded, at+"/-")
	case !contains(decodeJSON(own.json), ours.decoded):
		p.replace(ours.encoded, at, "/", itoa(own.index))
	}
}

// contains reports whether a JSON value has everything that the wanted one has. The
// API server adds defaults, other admission controllers environment variables, mounts
// and limits.
func contains(value, wanted any) bool {
	switch wanted := wanted.(type) {
	case jsonObject:
		fields, isObject := value.(jsonObject)
		for name, field := range wanted {
			if isObject = isObject && contains(fields[name], field); !isObject {
				return false
			}
		}
		return isObject
	case jsonList:
		items, isList := value.(jsonList)
		if !isList || len(wanted) == 0 {
			return isList
		}
		if _, ofObjects := wanted[0].(jsonObject); !ofObjects {
			return reflect.DeepEqual(items, wanted) // a command, or capabilities
		}
		return !slices.ContainsFunc(wanted, func(want any) bool {
			return !slices.ContainsFunc(items, func(item any) bool { return contains(item, want) })
		})
	default:
		return reflect.DeepEqual(value, wanted)
	}
}

// raise adds the sidecar's resources to those of the pod as a whole, which the API
// server compares with the sum of the containers'.
func (p *patcher) raise(own *podResources, sidecar *sidecar) {
	if own == nil {
		return
	}
	for _, kind := range []struct {
		name string
		own  amounts
	}{{"requests/", own.Requests}, {"limits/", own.Limits}} {
		for _, name := range []string{"cpu", "memory"} {
			if amount, isSet := kind.own[name]; isSet {
				total := sidecar.raised(kind.name, name, amount)
				p.add(quote(total.String()), "/spec/resources/", kind.name, name)
			}
		}
	}
}

// sysctl lets the sidecar listen on the port of DNS.
func (p *patcher) sysctl(details *details) {
	const ours = `{"name":"` + sysctlPortStart + `","value":"0"}`
	_, isSet := details.portStart()
	switch security := details.security; {
	case isSet:
	case security == nil:
		p.add(`{"sysctls":[`+ours+`]}`, "/spec/securityContext")
	case security.Sysctls == nil:
		p.add("["+ours+"]", "/spec/securityContext/sysctls")
	default:
		p.add(ours, "/spec/securityContext/sysctls/-")
	}
}
