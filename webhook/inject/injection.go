package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/api/v1alpha1"
)

// Injection is the change of a pod. It is shared and must not be changed.
type Injection struct {
	// ProxyURL is the value of HTTP_PROXY and HTTPS_PROXY.
	ProxyURL string
	// NoProxy are the entries of NO_PROXY.
	NoProxy []string
	// Status is the value of the pod's status annotation.
	Status string
	// Skip are the names of containers that are left as they are.
	Skip []string
	// Warnings are addressed to the author of the pod.
	Warnings []string

	// settled is the number of leading entries of NO_PROXY that do not depend on the
	// neighbours.
	settled                        int
	nodePool                       *v1alpha1.NodePool
	sidecar                        *sidecar // nil without one
	dns                            *dns     // nil for the cluster's DNS
	portURL                        string   // of the proxy without the sidecar
	sidecarRequired                bool     // the port is closed
	httpProxy, httpsProxy, noProxy pair
	runtimes                       runtimeVariables
	values                         string // that of the status
	encodedStatus                  encodedStatus
}

// of returns the injection with the address of the proxy that an existing pod reaches:
// the pod may be older than the sidecar of its tenant.
func (i *Injection) of(pod *Pod) *Injection {
	url := i.portURL
	if pod.hasSidecar() {
		url = RelayURL()
	}
	if url == i.ProxyURL {
		return i
	}
	changed := *i
	changed.setProxy(url)
	changed.setRuntimes(i.runtimes.all)
	return &changed
}

// setProxy sets the address of the proxy.
func (i *Injection) setProxy(url string) {
	i.ProxyURL = url
	i.httpProxy = newPair(envHTTPProxy, envHTTPProxyLower, url)
	i.httpsProxy = newPair(envHTTPSProxy, envHTTPSProxyLower, url)
}

// setNoProxy sets the entries of NO_PROXY, and the status, which identifies the
// values of the proxy variables.
func (i *Injection) setNoProxy(entries []string, status names.InjectionStatus) {
	joined := strings.Join(entries, ",")
	i.NoProxy = entries
	i.noProxy = newPair(envNoProxy, envNoProxyLower, joined)
	status.Values = hash(i.ProxyURL, joined)
	i.setStatus(status)
}

// encodedStatus is the JSON of the values that contain the status.
type encodedStatus struct {
	value       string // of the annotation
	annotations string // of metadata.annotations with this annotation only
	metadata    string // of metadata with this annotation only
}

func (i *Injection) setStatus(status names.InjectionStatus) {
	text, err := json.Marshal(status)
	if err != nil {
		panic("encoding strings cannot fail: " + err.Error())
	}
	i.Status, i.values = string(text), status.Values
	value := quote(i.Status)
	annotations := `{"` + names.AnnotationStatus + `":` + value + `}`
	i.encodedStatus = encodedStatus{value: value, annotations: annotations, metadata: `{"annotations":` + annotations + `}`}
}

// hash identifies a configuration, or values. 64 bits suffice, because a collision
// benefits no attacker.
func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
