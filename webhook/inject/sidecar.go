package inject

import (
	"encoding/json"
	"errors"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// RelayURL returns the value of HTTP_PROXY in pods with the sidecar, which listens on
// the loopback address.
func RelayURL() string {
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(names.RelayPort))
}

// sidecarUser is the user and the group of the sidecar's process. Any number but 0
// would do: the image has no files of its own.
const sidecarUser = 65532

// sidecarStart is the time in seconds in which the sidecar has to listen. It listens
// within milliseconds, but its first process may wait for the CPU of a busy node.
const sidecarStart = 120

// memoryShare is the part of the sidecar's memory limit, in percent, that its garbage
// collector keeps to. The rest is for the stacks and buffers of the kernel, and for
// the process of the startup probe.
const memoryShare = 75

// jsonObject and jsonList are values in JSON.
type (
	jsonObject = map[string]any
	jsonList   = []any
)

// sidecar is the sidecar's container and its volume, encoded once for all pods of a
// namespace.
type sidecar struct {
	container, volume element
	requests, limits  amounts
	image             string
	// captured are the ports of captured names, sorted, and lowestPort is the lowest
	// port on which the sidecar listens. Both are empty without capture.
	captured   []uint16
	lowestPort uint16
}

// element is an item of one of the pod's lists, which has the sidecar's name.
type element struct {
	encoded string
	decoded any
}

func newElement(value jsonObject) element {
	encoded := encodeJSON(value)
	return element{encoded, decodeJSON([]byte(encoded))}
}

// decodeJSON returns nil for a text that is not JSON.
func decodeJSON(text []byte) (value any) {
	if json.Unmarshal(text, &value) != nil {
		return nil
	}
	return value
}

// amounts are amounts of resources by name.
type amounts map[string]amount

// amount is an amount of a resource.
type amount struct{ resource.Quantity }

// hugeExponent is in amounts like 1e1000000000, with which the library calculates digit
// by digit. Kubernetes has amounts up to 2^63.
var hugeExponent = regexp.MustCompile(`[eE][+-]?[0-9]{3}`)

// UnmarshalJSON reads an amount of a pod, which the API server has not checked yet.
func (a *amount) UnmarshalJSON(text []byte) error {
	if hugeExponent.Match(text) {
		return errors.New("its exponent has more than two digits")
	}
	return a.Quantity.UnmarshalJSON(text) //nolint:wrapcheck // unreadable names the field
}

func newAmounts(configured v1alpha1.ResourceAmounts) amounts {
	all := amounts{}
	for name, text := range map[string]string{"cpu": configured.CPU, "memory": configured.Memory} {
		if quantity, err := resource.ParseQuantity(text); err == nil { // an empty amount is not set
			all[name] = amount{quantity}
		}
	}
	return all
}

// object returns the amounts in the form in which the API server stores them: others
// would look edited.
func (a amounts) object() jsonObject {
	all := jsonObject{}
	for name, quantity := range a {
		all[name] = quantity.String()
	}
	return all
}

func newSidecar(image string, spec *v1alpha1.EgressTenantSpec) *sidecar {
	resources := spec.Sidecar.ContainerResources()
	s := &sidecar{image: image, requests: newAmounts(resources.Requests), limits: newAmounts(resources.Limits)}
	s.container = newElement(s.containerWith(""))
	s.volume = newElement(jsonObject{
		"name": names.SidecarName,
		// The Secret may come later than the pod: the sidecar waits for it.
		"secret": jsonObject{"secretName": names.SidecarName, "optional": true},
	})
	if spec.CapturesNames() {
		s.captured = spec.AllowList().Ports
		s.lowestPort = min(dnsPort, s.captured[0])
	}
	return s
}

// containerFor returns the container for a pod. Ports that are those of the pod's own
// containers are not captured.
func (s *sidecar) containerFor(details *details) *element {
	var taken []string
	for _, port := range s.captured {
		if slices.Contains(details.containers.ports, port) || slices.Contains(details.initContainers.ports, port) {
			taken = append(taken, itoa(int(port)))
		}
	}
	if taken == nil {
		return &s.container
	}
	container := newElement(s.containerWith(strings.Join(taken, ",")))
	return &container
}

// containerWith returns the container, with the ports of the pod that are not captured.
// Pod Security Standard restricted admits it, and it reads nothing of its image but the
// program.
func (s *sidecar) containerWith(podPorts string) jsonObject {
	limit := s.limits["memory"]
	env := jsonList{
		fieldVariable(names.EnvPodNamespace, "metadata.namespace"),
		fieldVariable(names.EnvPodName, "metadata.name"),
		fieldVariable(names.EnvPodIP, "status.podIP"),
		jsonObject{"name": "GOMEMLIMIT", "value": strconv.FormatInt(limit.Value()/100*memoryShare, 10)},
	}
	if podPorts != "" {
		env = append(env, jsonObject{"name": names.EnvPodPorts, "value": podPorts})
	}
	return jsonObject{
		"name":          names.SidecarName,
		"image":         s.image,
		"command":       jsonList{names.SidecarProgram, "run", "--config=" + names.SidecarFolder},
		"restartPolicy": "Always", // an init container that runs as long as the pod
		"env":           env,
		"resources":     jsonObject{"requests": s.requests.object(), "limits": s.limits.object()},
		"volumeMounts":  jsonList{jsonObject{"name": names.SidecarName, "mountPath": names.SidecarFolder, "readOnly": true}},
		// The other containers start once the sidecar listens. The probe does not depend
		// on the proxy: a pod whose startup probe fails neither starts nor ends.
		"startupProbe": jsonObject{
			"exec":          jsonObject{"command": jsonList{names.SidecarProgram, "check"}},
			"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": sidecarStart,
		},
		"securityContext": jsonObject{
			"allowPrivilegeEscalation": false,
			"capabilities":             jsonObject{"drop": jsonList{"ALL"}},
			"readOnlyRootFilesystem":   true,
			"runAsNonRoot":             true,
			"runAsUser":                sidecarUser,
			"runAsGroup":               sidecarUser,
			"seccompProfile":           jsonObject{"type": "RuntimeDefault"},
		},
	}
}

// fieldVariable is an environment variable with the value of a field of the pod.
func fieldVariable(name, path string) jsonObject {
	return jsonObject{"name": name, "valueFrom": jsonObject{"fieldRef": jsonObject{"apiVersion": "v1", "fieldPath": path}}}
}

// bytes returns a bound on the size of the sidecar's operations in a patch. It is 0
// for nil.
func (s *sidecar) bytes() int {
	if s == nil {
		return 0
	}
	const rest = 1 << 10 // resources of the pod, and paths
	return len(s.container.encoded) + len(s.volume.encoded) + rest
}
